"""`python -m pose`: the `pose` command."""

from pose.cli.main import main

if __name__ == "__main__":
    main()
