"""`python -m plurality` is the console command `plurality`."""

from plurality.cli import main

if __name__ == "__main__":
    main()
