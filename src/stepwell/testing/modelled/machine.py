"""The rules from which hypothesis makes programs. Each draws a few small numbers: that is what makes them quick."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, ClassVar, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from stepwell.blocking import run_sync
from stepwell.testing.bench import Colour, OpenStore
from stepwell.testing.modelled.programs import KEYS, Programs
from stepwell.testing.modelled.reference import Kept
from stepwell.testing.modelled.world import Handle

T = TypeVar("T")

WHO = st.integers(0, 3)
WHICH = st.integers(0, 3)
FEW = st.integers(0, 7)
MANY = st.integers(0, 31)
YES = st.booleans()


class Machine(RuleBasedStateMachine):
    """One program; subclasses say on which store."""

    colour: ClassVar[Colour]
    figures: ClassVar[Counter[str]]

    def __init__(self) -> None:
        super().__init__()
        self._runner = asyncio.Runner() if self.colour == "async" else None
        open_store, self._close = self.open_place()
        self.programs = Programs(open_store, self.colour)
        self._whole = True

    def open_place(self) -> tuple[OpenStore, Callable[[], None]]:
        """An empty store, and what to call at the end."""
        raise NotImplementedError

    def _run(self, call: Coroutine[Any, Any, T]) -> T:
        self._whole = False
        result = run_sync(call) if self._runner is None else self._runner.run(call)
        self._whole = True
        return result

    def _who(self, who: int) -> Handle:
        return self.programs.handles[who]

    def _kept(self, which: int) -> Kept:
        kept = self.programs.pick(which)
        assert kept is not None
        return kept

    def _any(self) -> bool:
        return bool(self.programs.reference.sessions)

    def teardown(self) -> None:
        """Everything is read back."""
        try:
            if self._whole:  # otherwise the program has failed already
                self._run(self.programs.check_all())
        finally:
            self.figures.update(programs=1, calls=self.programs.calls, sessions=len(self.programs.reference.sessions))
            self._run(self.programs.aclose())
            self._close()
            if self._runner is not None:
                self._runner.close()

    # Sessions

    @rule(who=WHO, key=WHICH, opened=YES)
    def create(self, who: int, key: int, opened: bool) -> None:
        named = (*KEYS, None)[3 - key]
        self._run(self.programs.create(self._who(who), named, opened=opened and named is not None))

    @precondition(_any)
    @rule(who=WHO, which=WHICH, number=FEW)
    def update(self, who: int, which: int, number: int) -> None:
        self._run(self.programs.update(self._who(who), self._kept(which), number))

    @precondition(_any)
    @rule(who=WHO, which=WHICH, number=FEW)
    def tag(self, who: int, which: int, number: int) -> None:
        self._run(self.programs.tag(self._who(who), self._kept(which), number))

    @precondition(_any)
    @rule(who=WHO, which=WHICH)
    def end(self, who: int, which: int) -> None:
        self._run(self.programs.end(self._who(who), self._kept(which)))

    @precondition(_any)
    @rule(who=WHO, which=WHICH, end=YES, for_a_while=YES)
    def delete(self, who: int, which: int, end: bool, for_a_while: bool) -> None:
        self._run(self.programs.delete(self._who(who), self._kept(which), end=end, for_a_while=for_a_while))

    @precondition(_any)
    @rule(who=WHO, which=WHICH)
    def undelete(self, who: int, which: int) -> None:
        self._run(self.programs.undelete(self._who(who), self._kept(which)))

    @precondition(_any)
    @rule(who=WHO, which=WHICH, days=FEW)
    def extend(self, who: int, which: int, days: int) -> None:
        self._run(self.programs.extend(self._who(who), self._kept(which), days))

    @precondition(_any)
    @rule(who=WHO, which=WHICH, key=WHICH, number=FEW)
    def fork(self, who: int, which: int, key: int, number: int) -> None:
        self._run(self.programs.fork(self._who(who), self._kept(which), (*KEYS, None)[3 - key], number))

    # Invocations and steps

    @precondition(_any)
    @rule(who=WHO, which=WHICH, number=WHICH)
    def invoke(self, who: int, which: int, number: int) -> None:
        self._run(self.programs.invoke(self._who(who), self._kept(which), number))

    @precondition(_any)
    @rule(who=WHO, which=WHICH, invocation=FEW, step=WHICH, content=FEW, mark=FEW)
    def put(self, who: int, which: int, invocation: int, step: int, content: int, mark: int) -> None:
        self._run(
            self.programs.put(self._who(who), self._kept(which), invocation, step, content, mark=max(0, mark - 4))
        )

    @precondition(_any)
    @rule(who=WHO, which=WHICH, invocation=FEW, step=WHICH, content=FEW, create=YES, timed=YES)
    def put_if_known(
        self, who: int, which: int, invocation: int, step: int, content: int, create: bool, timed: bool
    ) -> None:
        self._run(
            self.programs.put(self._who(who), self._kept(which), invocation, step, content, create=create, timed=timed)
        )

    @precondition(_any)
    @rule(who=WHO, which=WHICH, invocation=FEW, step=WHICH, content=FEW, count=FEW)
    def put_batch(self, who: int, which: int, invocation: int, step: int, content: int, count: int) -> None:
        self._run(self.programs.put(self._who(who), self._kept(which), invocation, step, content, count=2 + count))

    @precondition(_any)
    @rule(who=WHO, which=WHICH)
    def lease(self, who: int, which: int) -> None:
        self._run(self.programs.lease(self._who(who), self._kept(which)))

    @precondition(_any)
    @rule(who=WHO, other=WHO, which=WHICH, leased=WHICH)
    def contend(self, who: int, other: int, which: int, leased: int) -> None:
        self._run(self.programs.contend(self._who(who), self._who(other), self._kept(which), leased=leased == 1))

    @precondition(_any)
    @rule(who=WHO, which=WHICH, number=FEW)
    def redact(self, who: int, which: int, number: int) -> None:
        self._run(self.programs.redact(self._who(who), self._kept(which), number))

    @precondition(_any)
    @rule(who=WHO, which=WHICH, number=FEW)
    def trim(self, who: int, which: int, number: int) -> None:
        self._run(self.programs.trim(self._who(who), self._kept(which), number))

    # Reading

    @precondition(_any)
    @rule(who=WHO, which=WHICH)
    def read(self, who: int, which: int) -> None:
        self._run(self.programs.check(self._who(who), self._kept(which)))

    @precondition(_any)
    @rule(who=WHO, which=WHICH, number=FEW)
    def read_parts(self, who: int, which: int, number: int) -> None:
        self._run(self.programs.check_parts(self._who(who), self._kept(which), number))

    @rule(who=WHO, size=WHICH)
    def read_lists(self, who: int, size: int) -> None:
        self._run(self.programs.check_lists(self._who(who), 1 + size))

    # What happens to processes

    @rule(who=WHO, fault=FEW, others=MANY, which=WHICH)
    def arm(self, who: int, fault: int, others: int, which: int) -> None:
        self.programs.arm(self._who(who), fault, others, which)

    @rule(who=WHO)
    def reopen(self, who: int) -> None:
        self._run(self.programs.replace(self._who(who), closed=True))

    @rule(tens_of_minutes=st.integers(-3, 24), lagging_too=YES)
    def jump(self, tens_of_minutes: int, lagging_too: bool) -> None:
        self.programs.sleep(timedelta(minutes=10 * tens_of_minutes), lagging_too=lagging_too)

    @rule(hours=st.sampled_from((7, 30)), lagging_too=YES)
    def freeze(self, hours: int, lagging_too: bool) -> None:
        self.programs.sleep(timedelta(hours=hours), lagging_too=lagging_too)

    @rule(who=WHO, twice=YES)
    def collect(self, who: int, twice: bool) -> None:
        self._run(self.programs.collect(self._who(who), twice=twice))
