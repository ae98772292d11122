"""Stands in for a runtime with a fault: run in place of the probing child."""

import os
import signal

os.kill(os.getpid(), signal.SIGSEGV)
