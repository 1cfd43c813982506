"""Imported by the server that workers are forked from, before any of them.

It leaves the group of processes that a terminal, `timeout` or a scheduler signals as one, so that a run that
is asked to stop still has its workers while it finishes a step and saves.
"""

import os

if hasattr(os, "setpgid"):
    os.setpgid(0, 0)
