"""``napari-cryoet pack``: write a pack for a class, or the demo."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from typer import Argument, BadParameter, Option, Typer

import napari_cryoet
from napari_cryoet.cli.console import say, tell, working
from napari_cryoet.cli.options import positive, record_id
from napari_cryoet.cli.portals import open_session
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.wording import size_text

app = Typer()


@app.command()
def pack(
    content: Annotated[
        str,
        Argument(
            metavar="FROM",
            help="A lesson's folder, the file or link of a view, a basket file, a portal link, or a source "
            "(live, demo, URL or pack) for --run, --dataset, --lesson and --view. demo alone is the whole demo.",
        ),
    ],
    to: Annotated[
        Path, Argument(metavar="TO", help="A new folder, or a new file that ends in .zip.")
    ],
    run: Annotated[
        list[Any] | None,
        Option(parser=record_id("run"), metavar="ID", help="Id of a whole run; repeatable."),
    ] = None,
    dataset: Annotated[
        list[Any] | None,
        Option(parser=record_id("dataset"), metavar="ID", help="Id of a dataset; repeatable."),
    ] = None,
    lesson: Annotated[
        list[str] | None,
        Option(
            metavar="LESSON",
            help="Folder of a lesson, or the key of one of the demo or pack; repeatable.",
        ),
    ] = None,
    view: Annotated[
        list[str] | None, Option(metavar="VIEW", help="File or link of a view; repeatable.")
    ] = None,
    level: Annotated[
        int, Option(min=0, max=9, metavar="N", help="The finest level that is packed whole.")
    ] = 1,
    around: Annotated[
        float,
        Option(
            parser=positive,
            metavar="NM",
            help="How far around what views and lessons show full resolution is packed.",
        ),
    ] = 20.0,
    hide: Annotated[
        list[Any] | None,
        Option(
            parser=record_id("annotation"),
            metavar="ID",
            help="Annotation to leave out, such as the answer to a task; repeatable.",
        ),
    ] = None,
    title: Annotated[str, Option(metavar="TEXT", help="The title of the pack.")] = "",
    dry_run: Annotated[
        bool, Option("--dry-run", help="Only show what would be packed, with sizes.")
    ] = False,
) -> None:
    """Write a pack for a class: a small part of a portal that opens without a network.

    \b
    napari-cryoet pack demo pack.zip --lesson 2-finding-ribosomes
    napari-cryoet pack my-lesson pack.zip              # a lesson, and the data that it shows
    napari-cryoet pack live pack --run 506 --level 2   # a run, at its coarsest level
    napari-cryoet pack basket.toml pack --dry-run      # show the size
    napari-cryoet pack demo demo-pack                  # the whole demo
    """
    from napari_cryoet.lessons.class_pack import plan_class_pack, write_class_pack

    found = _read(content)
    runs = (*found.runs, *(run or ()))
    datasets = (*found.datasets, *(dataset or ()))
    lessons = (*found.lessons, *(lesson or ()))
    views = (*found.views, *(view or ()))
    is_alone = not (runs or datasets or lessons or views)
    if content == "demo" and is_alone:
        _write_demo(to, is_dry=dry_run)
        return
    with open_session(found.source) as session:
        basket = napari_cryoet.Basket(source=session.portal.source.name)
        if session.file is not None:
            basket = session.read_basket()
        elif is_alone:
            raise BadParameter("add --run, --dataset, --lesson or --view")
        plan = plan_class_pack(
            session.portal,
            basket.with_ids("runs", runs).with_ids("datasets", datasets),
            lessons=lessons,
            views=views,
            level=level,
            around_nm=around,
            hide=hide or (),
            title=title,
            task=session.task,
        )
        say(f"about {plan.text}")
        for remark in plan.remarks:
            tell(f"! {remark}")
        if not dry_run:
            _say_written(write_class_pack(plan, to, task=session.task))


class _Content(NamedTuple):
    """What the first argument names: a source, and records, lessons and views of it."""

    source: str
    runs: tuple[int, ...] = ()
    datasets: tuple[int, ...] = ()
    lessons: tuple[str, ...] = ()
    views: tuple[str, ...] = ()


def _read(content: str) -> _Content:
    from napari_cryoet.lessons.folder import open_lesson
    from napari_cryoet.lessons.lesson import LESSON_NAME
    from napari_cryoet.portal.links import Jump
    from napari_cryoet.records import PORTAL_TERMS
    from napari_cryoet.views.links import read_shared

    if Path(content, LESSON_NAME).is_file():
        lesson = open_lesson(content)
        steps = lesson.lesson.steps
        source = _source_of((step.view for step in steps), lesson.folder)
        return _Content(source, lessons=(content,))
    shared, folder = read_shared(content)
    if isinstance(shared, napari_cryoet.View):
        return _Content(_source_of([shared], folder), views=(content,))
    if isinstance(shared, Jump) and content.startswith(PORTAL_TERMS.site):
        ids = {shared.kind: (shared.id,)}
        return _Content("live", runs=ids.get("run", ()), datasets=ids.get("dataset", ()))
    return _Content(content)


def _source_of(views: Iterable[napari_cryoet.View | None], folder: Path | None) -> str:
    """The source of the first run that views show, unless it is of a host that you haven't named."""
    from napari_cryoet.views.finding import foreign_host, source_to_open

    runs = [run for view in views if view is not None for run in view.runs]
    if not runs:
        raise CryoETError("This shows no run.", hint="Name the source first, and add --run.")
    source = source_to_open(runs[0], [], folder)
    if foreign_host(source):
        raise CryoETError(f"The data is on {foreign_host(source)}.", hint="Name that source first.")
    return source


def _write_demo(to: Path, *, is_dry: bool) -> None:
    from napari_cryoet.demo.write import ensure_demo_pack
    from napari_cryoet.files import refuse_existing, size_on_disk
    from napari_cryoet.lessons.class_pack import copy_pack

    refuse_existing(to, overwrite=False)
    with working() as task:
        demo = ensure_demo_pack(task)
        if not is_dry:
            _say_written(copy_pack(demo, to, task=task))
            return
    say(f"about {size_text(size_on_disk(demo))}: the whole demo")


def _say_written(path: Path) -> None:
    from napari_cryoet.files import size_on_disk

    say(f"{size_text(size_on_disk(path))}, in {path}")
