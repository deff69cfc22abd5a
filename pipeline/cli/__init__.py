"""The command line: parse, one call, print. The only place that exits."""

from pipeline.rare_collections import collect_rarely

collect_rarely()  # before anything is imported: what modules make as they load is kept, and looking through it costs
