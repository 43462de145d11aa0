"""Columns of tables: read from files, encoded as features, and the target beside them.

cells, date_cells   single cells (numbers, names of categories, dates, missing ones), and tallies of those of a column
base_column         what all kinds of columns have in common, and sentences on them; number_columns, date_column and
                    category_column have the kinds
training_column     a column of a training table, as the kinds that may encode it see it; texts that look like numbers
features            all columns of a table: fitted, encoded, and as files have them; few_rows encodes few rows
bins                bins of columns of numbers, and a trial whether they help
table_summary       summary of a table that is read piece by piece, and a sample of its rows
target              the target column: its task, its classes or scale, and the rows that have it
leaks               columns that hold the target
"""
