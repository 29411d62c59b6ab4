//! The reference grammar: references, templates and key selection; no I/O
