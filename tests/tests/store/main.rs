//! The store, over SQLite and over a real PostgreSQL.

mod absence;
mod database;
mod faults;
mod load;
mod model;
mod outage;
mod place;
mod proxy;
mod races;
mod rows;
mod standby;
mod users;
