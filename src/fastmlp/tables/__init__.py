"""Columns of tables: read from files, encoded as features, and the target beside them.

cells               single cells: numbers, names of categories, missing ones
base_column         what all kinds of columns have in common, and sentences on them; number_columns, date_column and
                    category_column have the kinds
training_column     a column of a training table, as the kinds that may encode it see it
numbers_as_text     texts that look like numbers, such as "12.5 EUR", and how to convert them
features            all columns of a table: fitted, encoded, and as files have them
few_rows            features of few rows at a time
bins                bins of columns of numbers, and a trial whether they help
leaks               columns that hold the target
row_sample          sample of the rows of a table that is read piece by piece
target              the target column: its task, its classes or scale, and the rows that have it
"""
