//! What the hub imports of the room `net`, for the models.

pub mod socket;
pub mod sync;
pub mod waker;
