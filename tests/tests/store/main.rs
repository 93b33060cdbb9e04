//! The store, over SQLite and over a real PostgreSQL.

mod database;
mod model;
mod outage;
