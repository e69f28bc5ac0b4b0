import sys

from entrada.cli import main

sys.exit(main())
