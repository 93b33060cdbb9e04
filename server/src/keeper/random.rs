//! The keeper's few random bytes, straight from the system: a cryptographic
//! library gathers randomness of its own at its first use, which takes longer
//! than an X server takes to start.

use rustix::rand::{GetRandomFlags, getrandom};

/// Random bytes that nobody can guess. The error is for the user.
pub fn random<const N: usize>() -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    // A few bytes come whole, unless the system is too young to have any.
    match getrandom(&mut bytes, GetRandomFlags::empty()) {
        Ok(len) if len == N => Ok(bytes),
        Ok(_) => Err("the system gives too few random bytes".into()),
        Err(error) => Err(format!("the system gives no random bytes: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_are_the_same() {
        assert_ne!(random::<32>().unwrap(), random::<32>().unwrap());
        assert_ne!(random::<16>().unwrap(), [0; 16]);
    }
}
