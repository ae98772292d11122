"""The command line. `app` has the verbs, one module each; what a verb alone needs is imported when it runs."""


def main() -> None:
    """The console command `plurality`."""
    from plurality.cli.app import main as run

    run()
