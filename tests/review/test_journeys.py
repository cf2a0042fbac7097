"""Whoever judges, edits, saves and opens picks in any order finds each decision at its pick, in every file of these."""

import random

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from napari_cryoet.pick_files import SUFFIXES, read_picks, write_picks
from napari_cryoet.picks import Picks
from napari_cryoet.review import SessionStore, Subject, Verdict
from napari_cryoet.review.review import Review

ABOUT = {"annotation_file_id": 7, "source_url": "https://files.example.invalid/7.ndjson"}
SPACING = 10.0
FORMATS = ("ndjson", "csv", "parquet", "relion4", "dynamo", "copick")
STEPS = 60


class Journey:
    """One who works with an annotation and with files that were saved of it, as chance will have it.

    Whatever happens to a pick, `particles` says which one it is, by its id in the session, and `verdicts` what was
    decided about it.
    """

    def __init__(self, seed, folder):
        self.chance, self.folder = random.Random(seed), folder
        self.n_places = self.n_particles = 0
        self.files, self.verdicts, self.done = [], {}, []
        count = self.chance.randint(2, 5)
        rotations = Rotation.random(count, random_state=seed).as_matrix() if seed % 2 else None
        places = [self.place() for _ in range(count)]
        self.picks = Picks(places, SPACING, rotations_zyx=rotations, shape_zyx=(9000, 99, 99), about=ABOUT)
        self.subject = Subject.of(self.picks, name="ribosomes")
        self.particles = self.new_particles(self.picks.ids)
        self.write("annotation.ndjson", "ndjson")
        self.review = self.reviewed(0)
        self.before = []  # of the edits of this session

    def place(self):
        """One where no pick ever was."""
        self.n_places += 1
        return [7.0 * self.n_places, 50 + 3 * (self.n_places % 5), 40.0]

    def new_particles(self, ids):
        self.n_particles += len(ids)
        return dict(zip(ids.tolist(), range(self.n_particles - len(ids), self.n_particles), strict=True))

    def some_rows(self):
        count = len(self.picks)
        return self.chance.sample(range(count), self.chance.randint(min(1, count), min(2, count)))

    def write(self, name, file_format):
        write_picks(self.picks, self.folder / name, format=file_format)
        self.files.append((self.folder / name, [self.particles[pick_id] for pick_id in self.picks.ids.tolist()]))

    def reviewed(self, number):
        path, particles = self.files[number]
        self.picks = read_picks(path)
        self.particles = dict(zip(self.picks.ids.tolist(), particles, strict=True))
        return Review(self.picks, self.subject, SessionStore(self.folder / "reviews"))

    def edit(self, picks):
        self.before.append(self.picks)
        self.picks = picks
        self.review.set_picks(picks)

    # what one may do

    def open_a_file(self):
        assert self.review.save()
        self.review = self.reviewed(self.chance.randrange(len(self.files)))
        self.before = []

    def save(self):
        file_format = self.chance.choice(FORMATS)
        self.write(f"{len(self.files)}{SUFFIXES[file_format]}", file_format)

    def judge(self):
        rows, verdict = self.some_rows(), self.chance.choice(list(Verdict))
        self.review.judge(rows, verdict)
        self.verdicts |= {self.particles[int(self.picks.ids[row])]: verdict for row in rows}

    def move(self):
        places = np.array(self.picks.points_zyx)
        for row in self.some_rows():
            places[row] = self.place()
        self.edit(self.picks.changed(points_zyx=places))

    def delete(self):
        if len(self.picks) > 2:
            self.edit(self.picks.take(np.delete(np.arange(len(self.picks)), self.some_rows())))

    def add(self):
        picks = self.picks.added([self.place()])
        self.particles |= self.new_particles(picks.ids[-1:])
        self.edit(picks)

    def undo_an_edit(self):
        if self.before:
            self.picks = self.before.pop().changed(next_id=max(self.particles) + 1)
            self.review.set_picks(self.picks)

    def go_on(self):
        steps = [self.judge, self.judge, self.move, self.move, self.open_a_file]
        step = self.chance.choice([*steps, self.save, self.delete, self.add, self.undo_an_edit])
        self.done.append(step.__name__)
        step()

    def lost(self):
        """By particle, what is wrong with its verdict."""
        found = self.review.verdicts(range(len(self.picks)))
        particles = [self.particles[pick_id] for pick_id in self.picks.ids.tolist()]
        wanted = [self.verdicts.get(particle, Verdict.UNDECIDED) for particle in particles]
        return {
            particle: (is_now.value, should_be.value)
            for particle, is_now, should_be in zip(particles, found, wanted, strict=True)
            if is_now is not should_be
        }


@pytest.mark.parametrize("seed", range(25))
def test_each_decision_is_at_its_pick_whatever_was_done_before(seed, tmp_path):
    journey = Journey(seed, tmp_path)
    for _ in range(STEPS):
        journey.go_on()
        assert not journey.lost(), journey.done
