"""Two windows that judge, edit and save the same picks in any order, and programs that are killed, lose no decision.

Of a pick that two judged, the decision that was saved later holds. Each pick is alone at its place.
"""

import random

import numpy as np
import pytest

from napari_cryoet.pick_files import SUFFIXES, read_picks, write_picks
from napari_cryoet.picks import Picks
from napari_cryoet.review import Review, SessionStore, Subject, Verdict

ABOUT = {"annotation_file_id": 7, "source_url": "https://files.example.invalid/7.ndjson"}
FORMATS = ("ndjson", "csv", "parquet", "relion4", "dynamo", "copick")
STEPS = 50


class Window:
    """One program with a review of a file; its particles by pick id, and what was judged in it and isn't saved yet."""

    def __init__(self, world, number):
        path, particles = world.files[number]
        self.world, self.picks = world, read_picks(path)
        self.particles = dict(zip(self.picks.ids.tolist(), particles, strict=True))
        self.review = Review(self.picks, world.subject, SessionStore(world.folder / "reviews"))
        self.review._saver.put = lambda snapshot: setattr(self, "waiting", snapshot)  # only the world says when
        self.waiting, self.unsaved = None, {}

    def save(self):
        if self.waiting is not None:
            self.review._write(self.waiting)
            self.waiting = None
            self.world.verdicts |= self.unsaved
            self.unsaved = {}

    def adopt(self):
        for joined, _ in list(self.review._joined_at.values()):
            self.review.adopt(joined)

    def edit(self, picks):
        self.picks = picks
        self.review.set_picks(picks)


class World:
    """What the disk holds: files of picks, and the verdicts that were saved, by particle."""

    def __init__(self, seed, folder):
        self.chance, self.folder = random.Random(seed), folder
        self.n_places, self.n_particles, self.files, self.verdicts, self.done = 0, 0, [], {}, []
        places = [self.place() for _ in range(self.chance.randint(2, 6))]
        scores = np.arange(len(places)) / 8 if seed % 2 else None
        self.subject = Subject.of(
            picks := Picks(places, 10.0, scores=scores, shape_zyx=(9000, 99, 99), about=ABOUT), name="a"
        )
        self.write(picks, list(self.new_particles(len(places))), "annotation.ndjson", "ndjson")
        self.windows = [Window(self, 0), Window(self, 0)]

    def place(self):
        """One where no pick ever was."""
        self.n_places += 1
        return [7.0 * self.n_places, 50 + 3 * (self.n_places % 5), 40.0]

    def new_particles(self, count):
        self.n_particles += count
        return range(self.n_particles - count, self.n_particles)

    def write(self, picks, particles, name, file_format):
        write_picks(picks, self.folder / name, format=file_format)
        self.files.append((self.folder / name, particles))

    def some_rows(self, window):
        count = len(window.picks)
        return self.chance.sample(range(count), self.chance.randint(min(1, count), min(3, count)))

    # what happens

    def judge(self, window):
        rows, verdict = self.some_rows(window), self.chance.choice(list(Verdict))
        changed = [row for row in rows if window.review.verdict(row) is not verdict]
        window.review.judge(rows, verdict)
        window.unsaved |= {window.particles[int(window.picks.ids[row])]: verdict for row in changed}

    def take_back(self, window):
        before = window.review.verdicts(range(len(window.picks)))
        window.review.undo()
        for row, verdict in enumerate(window.review.verdicts(range(len(window.picks)))):
            if verdict is not before[row]:
                window.unsaved[window.particles[int(window.picks.ids[row])]] = verdict

    def move(self, window):
        places = np.array(window.picks.points_zyx)
        for row in self.some_rows(window):
            places[row] = self.place()
        window.edit(window.picks.changed(points_zyx=places))

    def delete(self, window):
        if len(window.picks) > 2:
            window.edit(window.picks.take(np.delete(np.arange(len(window.picks)), self.some_rows(window)[:2])))

    def add(self, window):
        picks = window.picks.added([self.place()])
        window.particles[int(picks.ids[-1])] = self.new_particles(1)[0]
        window.edit(picks)

    def save(self, window):
        window.save()
        window.adopt()

    def export(self, window):
        window.save()
        order = self.chance.sample(range(len(window.picks)), len(window.picks))
        picks = window.picks.take(order)
        if self.chance.random() < 0.5:
            picks = picks.changed(ids=np.arange(len(picks)))
        particles = [window.particles[pick_id] for pick_id in window.picks.ids[order].tolist()]
        file_format = self.chance.choice(FORMATS)
        self.write(picks, particles, f"{len(self.files)}{SUFFIXES[file_format]}", file_format)

    def open_anew(self, window):
        window.save()
        self.windows[self.windows.index(window)] = Window(self, self.chance.randrange(len(self.files)))

    def is_killed(self, window):
        self.windows[self.windows.index(window)] = Window(self, self.chance.randrange(len(self.files)))

    def go_on(self):
        edits = [self.move, self.delete, self.add, self.export]
        seldom = [self.open_anew, self.is_killed, self.take_back]
        step = self.chance.choice([self.judge, self.judge, self.judge, self.save, self.save, *edits, *seldom])
        window = self.chance.choice(self.windows)
        self.done.append((step.__name__, self.windows.index(window)))
        step(window)

    def wrong(self):
        """By file and particle, what is found there and isn't what was saved last."""
        wrong = {}
        for number, (_, particles) in enumerate(self.files):
            review = Window(self, number).review
            for row, particle in enumerate(particles):
                found, wanted = review.verdict(row), self.verdicts.get(particle, Verdict.UNDECIDED)
                if found is not wanted:
                    wrong[number, particle] = found.value, wanted.value
        return wrong


@pytest.mark.parametrize("seed", range(12))
def test_what_was_saved_is_found_in_every_file_whoever_else_saves(seed, tmp_path):
    world = World(seed, tmp_path)
    for _ in range(STEPS):
        world.go_on()
    for window in world.windows:
        window.save()
    assert not world.wrong(), world.done
