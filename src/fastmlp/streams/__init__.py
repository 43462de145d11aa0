"""Data that are read piece by piece, because they need not fit into memory.

source_kinds      which data are read piece by piece
sources           what can be read: files, memory maps, Arrow streams, sequences, batches
record_batches    record batches and data frames of Parquet files, and of what gives Arrow's streams
rows_of_tables    columns of data frames as arrays of numbers
table_sources     tables whose cells may be text, dates or missing, whole or in pieces
row_file          the temporary file of checked rows that an epoch reads
row_loading       one pass over a source: into memory, or into a row file
shuffled_blocks   the blocks of rows of an epoch, read by a second thread
"""
