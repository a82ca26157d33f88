"""The command line: light modules that check a config before anything heavy is imported."""
