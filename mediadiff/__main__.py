"""`python -m mediadiff` is the command `mediadiff`."""

import sys

from mediadiff.cli import main

sys.exit(main())
