"""ncnn."""

from __future__ import annotations

from dmformer.runtimes.base import Session
from dmformer.runtimes.ncnn.runtime import NcnnSession
from tests.runtimes.contract import RuntimeContract


class TestNcnn(RuntimeContract):
    target = "ncnn"
    provider = "CPU"
    half_db = 60.0

    def threads_of(self, session: Session) -> int:
        assert isinstance(session, NcnnSession)
        return int(session._net.opt.num_threads)
