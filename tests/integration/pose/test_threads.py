"""A forked process has threads of its own."""

import os

import cv2

from pose.threads import in_threads


def test_a_forked_process_uses_threads_too():
    before = cv2.getNumThreads()
    cv2.setNumThreads(2)
    try:
        assert list(in_threads(abs, [-1, -2])) == [1, 2]
        child = os.fork()
        if child == 0:
            # Ends at once: this is a copy of pytest.
            os._exit(0 if list(in_threads(abs, [-3, -4])) == [3, 4] else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        cv2.setNumThreads(before)
