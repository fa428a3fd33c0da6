//! Sekisho from outside, over real sockets: one binary, one module per endpoint or section of the attack catalogue.

mod abroad;
mod attacks;
mod faults;
mod flows;
mod model;
mod record;
mod steps;
