//! The program from outside. Each module says what belongs there.

mod program;
mod tidy;
