"""One explanation of a wrong gradient."""

import re
from dataclasses import dataclass

ESTIMATOR = "as an estimator does (score function, straight-through), which no difference can check"
FACTOR = "there is a factor of {names} in it, or the inverse in update_output"
NUMBER = re.compile(r"[-−]?\d[\d.e+−-]*%?")


@dataclass
class Finding:
    """One explanation: its kind in a word or two, what it means, how sure it is, and the array it is about.

    pattern   the sentence; {names} in it stands for the names
    names     of a factor: more than one where several numbers are equal
    """

    kind: str
    pattern: str
    certainty: str = "likely"  # "certain", "likely" or "possible"
    name: str = ""
    names: tuple = ()

    @property
    def text(self):
        own = [name[4:] for name in self.names if name.startswith("1 / ") and " " not in name[4:]]  # numbers of a layer
        lacks = (f", which update_output does not have, or it lacks one of {' or of '.join(own)}, which update_output "
                 "has") if own else ""
        pattern = self.pattern.replace(", or the inverse in update_output", lacks) if lacks else self.pattern
        return pattern.replace("{names}", " or of ".join(self.names) or "some constant")

    @property
    def claim(self):
        """What is claimed at any point, whatever the numbers there may be."""
        return self.kind, re.sub("#(?:, (?:#|…))+", "#", NUMBER.sub("#", self.pattern))

    def __str__(self):
        return f"{self.certainty}: {self.text}"
