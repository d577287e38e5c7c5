//! The REST API: validates, writes the row, casts, answers.
