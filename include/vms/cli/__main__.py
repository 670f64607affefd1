"""`python -m vms.cli`, which ./vms runs."""

import sys

from vms.cli.app import main

sys.exit(main(sys.argv[1:]))
