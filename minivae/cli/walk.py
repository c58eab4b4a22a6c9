"""The prompt of minivae step."""

import cmd

import numpy as np

from minivae.errors import MinivaeError


class Walk(cmd.Cmd):
    """The prompt.  Each command is a method; its docstring is its help."""

    prompt = "(step) "

    def __init__(self, recorded, **streams):
        super().__init__(**streams)
        self.use_rawinput = not streams
        self.trace, self.at, self.watched = recorded, 0, []
        self.intro = (f"{len(recorded)} steps: forward, the criterion, backward.\nnext (n), into (i), back (b), print "
                      "(p), watch (w), list (l), goto, nonfinite, quit (q); help NAME\n\n" + self._here())

    def do_next(self, line: str) -> bool | None:
        """next [N]: on to the next step of this module, over those inside it; N times"""
        for _ in range(self._count(line)):
            target = self.at + 1 + self.step.inside
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

    def do_back(self, line: str) -> None:
        """back [N]: to the step before; N times"""
        self.at = max(0, self.at - self._count(line))
        self._show()

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
        """print [NAME]: all numbers of an array of this step, such as output or grad_weight; else its summary"""
        if not line:
            return self._show()
        try:
            with np.printoptions(precision=5, suppress=True, threshold=4000, linewidth=118):
                self._say(f"{line} {self.step[line].shape} =\n{self.step[line]}")
        except MinivaeError as error:
            self._say(str(error))
        return None

    def do_watch(self, line: str) -> None:
        """watch PATH or NAME: show at every step what that module, or the array of that name, was last; again: stop"""
        if line in self.watched:
            self.watched.remove(line)
        elif line:
            self.watched.append(line)
        self._say(f"watching {', '.join(self.watched) or 'nothing'}")

    def do_list(self, line: str) -> None:
        """list: the steps around this one"""
        for step in self.trace[max(0, self.at - 5):self.at + 8]:
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

    def emptyline(self) -> bool | None:
        return self.do_next("")

    def default(self, line: str) -> None:
        self._say(f"unknown command {line.split()[0]!r}; help lists them")

    def get_names(self) -> list[str]:
        """What help lists: not the one-letter forms, nor the end of the input."""
        return [name for name in super().get_names() if name.startswith("do_") and len(name) > 4 and name != "do_EOF"]

    @property
    def step(self):
        return self.trace[self.at]

    def _here(self):
        lines = [str(self.step)]
        if self.step.inside:
            lines.append(f"({self.step.inside} steps inside: into walks through them, next passes over them)")
        for watched in self.watched:
            if watched == self.step.path:
                continue
            for step in self.trace[:self.at + 1][::-1]:
                record = next((each for each in (*step.made, *step.given, *step.parameters)
                               if watched in (step.path, each.name)), None)
                if record is not None:
                    lines.append(f"watch {watched}: [{step.number}] {step.title}.{step.verb}  "
                                 + "  ".join(record.row()))
                    break
        return "\n".join(lines)

    def _show(self):
        self._say(self._here())

    def _say(self, text):
        self.stdout.write(text + "\n")

    def _count(self, line):
        return int(line) if line.strip().isdecimal() and int(line) > 0 else 1
