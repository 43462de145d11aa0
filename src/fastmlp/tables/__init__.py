"""Columns of tables: read from files, encoded as features, and the target beside them.

cells               single cells: numbers, names of categories, missing ones
tallies             counts of the cells of a column: categories, and cells that are not what the others are
base_column         what all kinds of columns have in common; number_columns (with bins), date_column, category_column
                    and text_column have the kinds
training_column     a column of a training table, as the kinds that may encode it see it
features            all columns of a table: fitted to training, and encoded as features
table_summary       the same from a table that is read piece by piece, with one_pass, what a pass over rows keeps
target              the target column: its task, its classes or scale, and the rows that have it
preprocessing       columns and target together, as files have them, and the table of kinds
leaks               columns that hold the target
notes               sentences on columns; number_formats, on texts that look like numbers
"""
