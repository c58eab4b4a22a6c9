"""Calls of verbs, seen as they happen: the trace, the profile and the gradient check stand on it."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

Before = Callable[[Any, str, tuple], object]
After = Callable[[Any, str, tuple, Any], object]


@contextmanager
def watched(calls: Iterable[tuple[Any, str]], before: Before | None = None, after: After | None = None
            ) -> Iterator[None]:
    """Within the block, each call of these verbs, [(owner, verb), ...], comes with before(owner, verb, arguments)
    ahead of it and after(owner, verb, arguments, result) behind it.

    A call is seen once, however often its owner is named, and whether or not a subclass calls super() within it; one
    that raises has no `after`.  However the block ends, each owner then has the methods that it had, among them one
    that is its own and not its class's.
    """
    with ExitStack() as undo:
        for owner, verb in {(id(owner), verb): (owner, verb) for owner, verb in calls}.values():
            plain, own = getattr(owner, verb), vars(owner)
            if verb in own:
                undo.callback(own.__setitem__, verb, plain)
            else:
                undo.callback(own.pop, verb, None)
            own[verb] = _watching(owner, verb, plain, before, after)
        yield


def _watching(owner: Any, verb: str, plain: Callable, before: Before | None, after: After | None) -> Callable:
    def call(*arguments: Any, **options: Any) -> Any:
        given = *arguments, *options.values()
        if before is not None:
            before(owner, verb, given)
        result = plain(*arguments, **options)
        if after is not None:
            after(owner, verb, given, result)
        return result
    return call
