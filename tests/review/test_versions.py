"""Versions of a file in which picks are alone at their places, or have others there: no decision goes to another pick.

Where it can't be known which of several picks a decision is about, it is said and kept, and given to none of them.
"""

import random
from collections import Counter

import numpy as np
import pytest

from napari_cryoet.picks import Picks
from napari_cryoet.review import Review, SessionStore, Subject, Verdict

ABOUT = {"source_url": "/data/own.ndjson"}
PLACES = np.array([[1.0, 2, 3], [4, 5, 6], [4, 5, 6], [4, 5, 6], [10, 11, 12]])
KEPT, REJECTED, UNDECIDED = Verdict.KEPT, Verdict.REJECTED, Verdict.UNDECIDED
SEEDS = 10
WORLDS = 15  # of each seed


class World:
    """Five particles, three of them at one place, and some versions of a file: each with others, in another order.

    Ids are row numbers, so that they say nothing of picks in another version.
    """

    def __init__(self, chance, folder):
        self.folder = folder
        self.scores = chance.choice([None, [0.5, 0.9, 0.1, 0.4, 0.5], [0.5, 0.9, 0.1, 0.1, 0.5], [0.5] * 5])
        self.versions = [chance.sample(range(5), chance.randint(1, 5)) for _ in range(3)]
        self.verdicts, self.done = {}, []
        self.given_alone, self.ever_given = set(), set()

    def opened(self, number):
        particles = self.versions[number]
        scores = None if self.scores is None else np.array(self.scores)[particles]
        picks = Picks(PLACES[particles], 10.0, scores=scores, about=ABOUT)
        return Review(picks, Subject.of(picks, name="own"), SessionStore(self.folder))

    def judge(self, chance):
        number = chance.randrange(len(self.versions))
        review, particles = self.opened(number), self.versions[number]
        for row, particle in enumerate(particles):
            if self.n_alike(self.kind(particle)) > 1:  # to a person, those are who they are shown to be
                self.verdicts[particle] = review.verdict(row)
        for row in chance.sample(range(len(particles)), chance.randint(0, len(particles))):
            verdict = chance.choice([KEPT, REJECTED])
            review.judge([row], verdict)
            self.verdicts[particles[row]] = verdict
            self.ever_given.add((self.kind(particles[row]), verdict))
            if self.is_alone_in(number, particles[row]):
                self.given_alone.add((self.kind(particles[row])[:3], verdict))
        self.done.append((number, dict(self.verdicts)))
        assert review.save()

    def kind(self, particle):
        """What is known of a particle: no file tells those from each other of which this is the same."""
        return (*PLACES[particle].tolist(), None if self.scores is None else self.scores[particle])

    def wrong(self, number, review):
        """Kinds of picks with verdicts that nobody gave to a pick of that kind.

        One that is alone in a version is the one that was alone at its place in another, whatever its score is there.
        """
        given = Counter((self.kind(particle), verdict) for particle, verdict in self.verdicts.items())
        found = Counter()
        for row, particle in self.rows(number):
            verdict, place = review.verdict(row), self.kind(particle)[:3]
            is_known = self.is_alone_in(number, particle) and (place, verdict) in self.given_alone
            if verdict is not UNDECIDED and not is_known:
                found[self.kind(particle), verdict] += 1
        return {
            (kind, each.value)
            for (kind, each), n in found.items()
            if n > given[kind, each] and not (self.is_parted(kind) and (kind, each) in self.ever_given)
        }

    def n_alike(self, kind):
        return sum(self.kind(particle) == kind for particle in range(len(PLACES)))

    def is_parted(self, kind):
        """Whether a version has only some of those of a kind: nobody can know which."""
        alike = {particle for particle in range(len(PLACES)) if self.kind(particle) == kind}
        return any(0 < len(alike.intersection(version)) < len(alike) for version in self.versions)

    def rows(self, number):
        return list(enumerate(self.versions[number]))

    def lost(self, number, review):
        """Picks that have no verdict although it is known, by their place, or as they were judged right here."""
        return {
            particle
            for row, particle in self.rows(number)
            if self.verdicts.get(particle, UNDECIDED) is not UNDECIDED
            and not self.is_parted(self.kind(particle))
            and review.verdict(row) is not self.verdicts[particle]
            and (self.is_alone(particle) or {where for where, _ in self.done} == {number})
        }

    def is_alone(self, particle):
        """Whether no version has another one at its place."""
        return all(self.is_alone_in(number, particle) for number in range(len(self.versions)))

    def is_alone_in(self, number, particle):
        """Whether no other one is at its place in a version."""
        others = [other for other in self.versions[number] if other != particle]
        return not any((PLACES[other] == PLACES[particle]).all() for other in others)


@pytest.mark.parametrize("n_sessions", [1, 2, 3])
@pytest.mark.parametrize("seed", range(SEEDS))
def test_no_decision_is_given_to_another_pick_in_any_version(seed, n_sessions, tmp_path):
    chance = random.Random(f"{seed} {n_sessions}")
    for number in range(WORLDS):
        world = World(chance, tmp_path / str(number))
        for _ in range(n_sessions):
            world.judge(chance)
        for version in range(len(world.versions)):
            review = world.opened(version)
            told = world.scores, world.versions, world.done, version
            assert not world.wrong(version, review), told
            assert not world.lost(version, review), told
            decided = [verdict for verdict in world.verdicts.values() if verdict is not UNDECIDED]
            n_unmatched = len(decided) - review.counts.judged
            if n_sessions == 1 and n_unmatched > 0:  # later ones may judge a pick anew under another id
                assert f"{n_unmatched} more found no pick in its place" in review.remark, told
