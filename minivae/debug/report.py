"""The report of a gradient check."""

from dataclasses import dataclass, field

from minivae.debug.diagnosis.finding import Finding
from minivae.debug.differences import ArrayCheck
from minivae.errors import MinivaeError


@dataclass
class GradientReport:
    """What a gradient check found: `ok`, an ArrayCheck for the input and each parameter, and other `findings`.

    checks     one for the input and each parameter; each has findings of its own
    findings   what its verbs do besides: overwrite, ignore scale, change their arguments, ...
    inside     of a container that failed: reports of the layers in it that fail by themselves
    """

    title: str
    checks: list[ArrayCheck] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    inside: list["GradientReport"] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.checks) and not self.findings and not self.inside

    def diagnoses(self):
        """Every Finding, the surest first: on the layers inside if any fails by itself, else on this module."""
        found = [finding for report in self.inside for finding in report.diagnoses()]
        if not found:
            found = [*self.findings, *(finding for check in self.checks if not check.ok for finding in check.findings)]
        return sorted(found, key=lambda finding: ("certain", "likely", "possible").index(finding.certainty))

    def raise_if_failed(self) -> "GradientReport":
        """Raise with the whole report unless everything passed."""
        if not self.ok:
            raise GradientError(str(self))
        return self

    def __str__(self):
        agree = all(check.ok for check in self.checks)
        verdict = "gradients agree" if agree and self.checks else "gradients not compared" if agree else \
            "GRADIENTS DIFFER"
        lines = [f"{self.title}: {verdict} with central differences" + ("" if agree == self.ok else ", but FAIL:")]
        lines += [f"  FAIL  {finding.name + '  ' if finding.name else ''}{finding}" for finding in self.findings]
        lines += [f"  {check.summary() if self.inside else check}" for check in self.checks]
        for report in self.inside:
            lines += ["  the cause is in here, by itself:"] + [f"    {line}" for line in str(report).split("\n")]
        return "\n".join(lines)

    __repr__ = __str__


class GradientError(MinivaeError, AssertionError):
    """An analytic gradient that is not the derivative."""
