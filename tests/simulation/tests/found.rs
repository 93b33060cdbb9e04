//! What the simulation found, each by the seed that found it. A seed's world
//! changes with the simulation; what is asserted is that it is well now.
//!
//! | fault found | seed | mended by |
//! | --- | --- | --- |
