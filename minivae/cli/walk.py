"""The prompt of minivae step."""

import cmd
import shutil

import numpy as np

from minivae.debug.steps import HEADER
from minivae.debug.tables import columns
from minivae.errors import MinivaeError, OptionError
from minivae.figures.equations import equation

SHADES, GAP = " ░▒▓█", "  "
ASCII = " .:+#"  # for a terminal whose encoding lacks them
MOST = 4000  # numbers of an array that are printed
WIDEST, LEAST = 32, 8  # pixels along a side of an image that is drawn


class Walk(cmd.Cmd):
    """The prompt.  Each command is a method; its docstring is its help.

    It begins ahead of the first verb, at -1.  A step is shown with its equation.  A module that calls others is shown
    before it has: what it is given, and not yet what comes out.
    """

    prompt = "(step) "

    def __init__(self, recorded, **streams):
        super().__init__(**streams)
        self.use_rawinput = not streams
        self.trace, self.at, self.watched = recorded, -1, []
        self.shades = SHADES
        try:
            SHADES.encode(getattr(self.stdout, "encoding", None) or "utf-8")
        except UnicodeEncodeError:
            self.shades = ASCII
        self.intro = self._start()

    def do_next(self, line: str) -> bool | None:
        """next [N]: on to the next step of this module, over those inside it; N times"""
        for _ in range(self._count(line)):
            target = 0 if self.at < 0 else self.at + 1 + self.step.inside
            if target >= len(self.trace):
                return self._say("that was the last step; back, goto N, or quit")
            self.at = target
        return self._show()

    def do_into(self, line: str) -> bool | None:
        """into: on to the very next step, inside this one if there are any"""
        if self.at + 1 >= len(self.trace):
            return self._say("that was the last step; back, goto N, or quit")
        self.at += 1
        return self._show()

    def do_back(self, line: str) -> bool | None:
        """back [N]: to the step before; N times"""
        self.at = max(-1, self.at - self._count(line))
        if self.at < 0:
            return self._say(self._start())
        return self._show()

    def do_goto(self, line: str) -> bool | None:
        """goto N: to step N;  goto PATH: to the next step of that module, such as encoder.2"""
        if line.strip().isdecimal() and int(line) < len(self.trace):
            self.at = int(line)
            return self._show()
        found = [step.number for step in self.trace if step.path == line.strip()]
        if not found:
            return self._say(f"no step {line!r}; they go from 0 to {len(self.trace) - 1}, and list shows the paths")
        self.at = next((number for number in found if number > self.at), found[0])
        return self._show()

    def do_print(self, line: str) -> bool | None:
        """print [NAME]: the numbers of an array such as output, of over 4,000 only the outermost; or the step again"""
        if not line:
            return self._say(self._start()) if self.at < 0 else self._show()
        array = self.step[line]
        if self.at < 0 and line not in (given := [each.name for each in self.step.given]):
            return self._say(f"nothing is called yet: there is {', '.join(given)}, and no {line}; next calls a step")
        part = f", the outermost of {array.size:,} numbers" if array.size > MOST else ""
        with np.printoptions(precision=5, suppress=True, threshold=MOST, linewidth=118):
            return self._say(f"{line} {array.shape}{part} =\n{array}")

    def do_watch(self, line: str) -> None:
        """watch PATH, NAME: show at every step what that module, or array of that name, was last; again: stop"""
        if line in self.watched:
            self.watched.remove(line)
        elif line:
            if not any(line in (step.path, *(each.name for each in step.recorded)) for step in self.trace):
                return self._say(f"no module or array {line!r}; list shows the paths, and each step its arrays")
            self.watched.append(line)
        return self._say(f"watching {', '.join(self.watched) or 'nothing'}")

    def do_list(self, line: str) -> None:
        """list: the steps around this one"""
        for step in self.trace[max(0, self.at - 5):max(self.at, 0) + 8]:
            self._say(f"{'->' if step.number == self.at else '  '} {step.number:>3}  {'  ' * step.depth}"
                      f"{step.title}.{step.verb}")

    def do_nonfinite(self, line: str) -> bool | None:
        """nonfinite: to the first step that made a NaN or an infinity"""
        step = self.trace.first_nonfinite()
        if step is None:
            return self._say("every number is finite")
        self.at = step.number
        return self._show()

    def do_quit(self, line: str) -> bool | None:
        """quit: end"""
        return True

    do_n, do_i, do_b, do_p, do_w, do_l, do_q = do_next, do_into, do_back, do_print, do_watch, do_list, do_quit

    def do_EOF(self, line: str) -> bool | None:
        """end of input: quit"""
        self._say("")
        return True

    def onecmd(self, line: str) -> bool | None:
        try:
            return super().onecmd(line)
        except MinivaeError as error:
            return self._say(str(error))

    def emptyline(self) -> bool | None:
        return self.do_next("")

    def default(self, line: str) -> None:
        self._say(f"unknown command {line.split()[0]!r}; help lists them")

    def do_help(self, line: str) -> None:
        """help [COMMAND]: what the commands do, or one of them"""
        line = line.strip()
        found = [getattr(self, f"do_{line}", None)] if line else [getattr(self, name) for name in self.get_names()]
        if found == [None]:
            return self._say(f"no command {line!r}; help lists them")
        for command in found:
            usage, _, words = command.__doc__.partition(": ")
            self._say(f"{usage:18}{words}")
        if not line:
            self._say("One letter will do: n, i, b, p, w, l, q.  An empty line is next.")
        return None

    def get_names(self) -> list[str]:
        """What help lists: not the one-letter forms, nor the end of the input."""
        return [name for name in super().get_names() if name.startswith("do_") and len(name) > 4 and name != "do_EOF"]

    @property
    def step(self):
        return self.trace[max(self.at, 0)]

    def _start(self):
        first = self.trace[0]
        lines = [f"{len(self.trace)} steps: forward, the criterion, backward.  Nothing is called yet.  The input:",
                 *(_drawn(each, self.shades) for each in first.given),
                 f"next (n) calls {first.title}.{first.verb}, into (i) follows it inside; help lists the commands."]
        return "\n".join(lines)

    def _here(self):
        step = self.step
        shown = [*step.given, *step.parameters] if step.inside else step.recorded
        head, *table = step.table(shown)
        lines = [head, *("    " + line for line in equation(step.layer, step.verb).splitlines()), *table]
        if step.inside:
            lines.append(f"It calls {step.inside} verbs: into follows them, next passes over them.")
        else:
            lines += [self._number(each) or _drawn(each, self.shades) for each in step.made]
        return "\n".join([*lines, *self._watches()])

    def _number(self, record):
        """A sum over the batch, such as the loss, and what that is for an image."""
        if np.ndim(record.array):
            return ""
        images, value = len(self.trace[0].given[0].array), float(record.array)
        return f"{record.name} = {value:.6g} for {images} images, {value / images:.6g} per image"

    def _watches(self):
        """The table of what is watched, as it was last."""
        rows = [["watching", *HEADER[1:]]]
        for name in self.watched:
            found = next(((step, each) for step in self.trace[:self.at + 1][::-1] if name != self.step.path
                          for each in (*step.made, *step.given, *step.parameters)
                          if name in (step.path, each.name) and not step.inside), None)
            if found is not None:
                step, record = found
                rows.append([name, f"[{step.number}] {step.title}.{step.verb}", *record.row()])
        return columns(rows, left=(0, 1, 2, 3, 4, 10)) if len(rows) > 1 else []

    def _show(self):
        self._say(self._here())

    def _say(self, text):
        self.stdout.write(text + "\n")

    def _count(self, line):
        try:
            number = int(line or 1)
        except ValueError:
            number = 0
        if number < 1:
            raise OptionError(f"{line!r} is no number of steps; give a whole number from 1, or none for one step")
        return number


def _drawn(record, shades):
    """A batch of images as pictures, of an image with other planes than colours these; other arrays as numbers."""
    shape = record.array.shape
    if len(shape) != 4 or min(shape[2:]) < LEAST or record.nonfinite:
        return record.numbers()
    images = shape[1] in (1, 3)
    pictures = record.array.mean(axis=1) if images else record.array[0]
    total, (height, width) = len(pictures), shape[2:]
    pictures = pictures[:, ::-(-height // WIDEST), ::-(-width // WIDEST)]
    beside = shutil.get_terminal_size().columns // (2 * pictures.shape[2] + len(GAP))
    pictures = pictures[:max(1, beside)]
    low, high = float(pictures.min()), float(pictures.max())
    levels = ((pictures - low) / ((high - low) or 1) * (len(shades) - 1)).round().astype(int)
    rows = [GAP.join("".join(2 * shades[level] for level in row) for row in side) for side in zip(*levels)]
    part = f", {len(pictures)} of {total} {'images' if images else 'planes of the first'}"
    title = f"{record.name}{part}, from {low:.4g} (blank) to {high:.4g} (full):"
    return "\n".join([title, *map(str.rstrip, rows)])
