"""`python -m service`: serve with settings from the environment alone. `plurality serve` is the same with flags."""

import os
import sys

from plurality.core.errors import ConfigurationError
from service.server import run_server
from service.settings import read_settings

if __name__ == "__main__":
    try:
        run_server(read_settings({}, os.environ))
    except ConfigurationError as error:
        sys.stderr.write(f"plurality: {error.message}\n")
        sys.exit(2)
