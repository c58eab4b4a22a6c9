"""The report of a distribution check: each statistic beside its expectation."""

from dataclasses import dataclass, field
from math import erfc, sqrt

import numpy as np

from minivae.debug.draws.noise_shapes import cut_off, described, repeated, shared

ALONE = "mean", "variance", "share below", "share of y > 0", "share of category"  # of one number by itself
ROUNDING = 1e-9  # a smaller standard error allows for rounding alone
REPEATED = 0.01  # share of noise that comes again: more is no chance
IN_A_SMALL_BATCH = "correlation of two rows in a batch of four"
MOST = 6  # statistics that are off, the worst, in a printed report


@dataclass
class Statistic:
    """One number that was counted, what it should be, and by how many standard errors it is off."""

    name: str
    observed: float
    expected: float
    error: float  # one standard error; 0: it must be exact
    tried: int = 1  # numbers of which it is the one that is farthest off

    @property
    def z(self):
        difference = abs(self.observed - self.expected)
        return 0.0 if difference == 0 else difference / self.error if self.error else float("inf")

    @property
    def p(self):
        """Probability that a right layer is off by as much."""
        return min(1.0, self.tried * erfc(self.z / sqrt(2))) if self.z == self.z else 0.0


@dataclass
class DistributionReport:
    """What a distribution check counted: `ok` unless something is less probable than the false-alarm rate allows.

    false_alarm   probability that a right layer fails, over all statistics together
    findings      sentences: what the draws look like instead
    """

    title: str
    false_alarm: float
    statistics: list[Statistic] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)

    def add(self, name, observed, expected, error, tried=1):
        self.statistics.append(Statistic(name, float(observed), float(expected), float(error), tried))

    def explain(self, *guesses):
        """Add the sentence of the first guess, (sentence, function that counts for it), by which nothing is off.

        One of what it counts must be off without it.
        """
        off = {each.name for each in self.wrong()}
        for sentence, count in guesses if off else ():
            guess = DistributionReport(self.title, self.false_alarm)
            with np.errstate(over="ignore", invalid="ignore"):
                count(guess)
            if guess.ok and off & {each.name for each in guess.statistics}:
                self.findings.append(sentence)
                return

    def describe(self, noise=None, wanted="", spread=1.0, samples=1):
        """Add what the noise (rows, units) has in common and, where nothing else is known, what it looks like."""
        if self.ok:
            return
        sentence = None if noise is None else shared(noise, samples)
        if sentence:
            self.findings.append(sentence)
        elif [each.name for each in self.wrong()] == [IN_A_SMALL_BATCH]:
            self.findings.append("the rows of a small batch depend on each other, as where noise is centred or scaled "
                                 "over the batch: leave it as it is drawn")
        elif noise is not None and (limits := cut_off(noise)):
            self.findings.append(limits)
        elif noise is not None and repeated(noise) > REPEATED:
            turned = repeated(noise, signed=True) < REPEATED
            self.findings.append(f"{repeated(noise):.0%} of the noise is that of another row"
                                 + (" with its sign turned" if turned else "") + ": draw a number for each entry at "
                                 "each forward" + (", unless antithetic draws are meant" if turned else ""))
        elif not self.findings:
            worst, *others = self.wrong()
            text = f"the {worst.name} is {worst.observed:.4g}, expected {worst.expected:.4g}"
            if noise is not None:
                said, name = described(noise, wanted, spread)
                alone = any(each.name.startswith(ALONE) for each in (worst, *others))
                text = said if alone or not wanted.startswith(name) else (
                    f"each number by itself is right, so several depend on each other: {text}")
            elif worst.tried > 1:
                text = f"numbers of one row depend on each other, so draw one for each entry: {text}"
            self.findings.append(text)

    def wrong(self):
        """The statistics that are off, the worst first."""
        limit = self.false_alarm / len(self.statistics)
        return sorted((each for each in self.statistics if each.p < limit), key=lambda each: -each.z)

    @property
    def ok(self):
        return not self.wrong()

    def __str__(self):
        wrong = self.wrong()
        lines = [f"{self.title}: {'draws as it should' if not wrong else 'DRAWS FROM ANOTHER DISTRIBUTION'}  "
                 f"({len(self.statistics)} statistics; a right layer fails once in {1 / self.false_alarm:,.0f} checks)"]
        lines += [f"  {finding}" for finding in self.findings]
        shown = wrong[:MOST] or self.statistics
        width = max(len(each.name) for each in shown)
        for each in shown:
            off = f"{each.z:.1f} standard errors off" if each.error > ROUNDING else (
                "it has to be exact" if each in wrong else "exact")
            off += f", the worst of {each.tried}" if each.tried > 1 else ""
            lines.append(f"  {'FAIL' if each in wrong else 'ok  '}  {each.name:<{width}} {each.observed:>10.5f}  "
                         f"expected {each.expected:>9.5f}  {off}")
        if wrong:
            lines.append(f"  {len(wrong)} of {len(self.statistics)} statistics are off")
        return "\n".join(lines)

    __repr__ = __str__
