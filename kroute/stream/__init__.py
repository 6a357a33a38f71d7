"""The Faust app: ingest, correlate, tables, journal. The only importer of faust."""
