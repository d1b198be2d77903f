"""The book's package `dataset`, where Python does not find it."""
