"""The benchmarks are scripts that are run by hand; they import each other as scripts do."""

collect_ignore_glob = ["*.py"]
