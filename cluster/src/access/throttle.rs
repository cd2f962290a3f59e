//! Wrong passwords make the next ones wait.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// So many wrong passwords of a user cost no time, and so many from an address: several people may be behind one.
const FREE: (u32, u32) = (5, 20);
/// The next one waits so long, the one after it twice as long, and none longer than the last.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// Wrong passwords are forgotten when there has been none for so long.
const FORGOTTEN: Duration = Duration::from_secs(15 * 60);
/// So many users and addresses are remembered at most; beyond that the oldest are forgotten.
const MOST: usize = 10_000;

/// Whose passwords were wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Whose {
    /// A user's, known or not; the hash of the name.
    User(blake3::Hash),
    /// Those that came from an address; of IPv6 from a network of the smallest size that a customer is given.
    From(IpAddr),
}

#[derive(Debug, Clone, Copy)]
struct Wrong {
    count: u32,
    last: Instant,
}

/// What is known of wrong passwords.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    wrong: Mutex<HashMap<Whose, Wrong>>,
}

impl Whose {
    fn all(user: &str, address: Option<IpAddr>) -> impl Iterator<Item = Self> {
        let user = Self::User(blake3::hash(user.as_bytes()));
        std::iter::once(user).chain(address.map(|address| Self::From(network(address))))
    }

    /// How long the next attempt waits after so many.
    fn wait(self, count: u32) -> Duration {
        let free = match self {
            Self::User(_) => FREE.0,
            Self::From(_) => FREE.1,
        };
        match count.checked_sub(free) {
            None => Duration::ZERO,
            Some(more) => WAITS.0.saturating_mul(2_u32.saturating_pow(more)).min(WAITS.1),
        }
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        address => address,
    }
}

impl Throttle {
    /// How long a user from an address has to wait before a password is looked at; `None`: not at all.
    pub(super) fn wait(&self, user: &str, address: Option<IpAddr>, now: Instant) -> Option<Duration> {
        let wrong = self.wrong.lock();
        let waits = Whose::all(user, address).filter_map(|whose| {
            let Wrong { count, last } = *wrong.get(&whose)?;
            (last + whose.wait(count)).checked_duration_since(now).filter(|wait| !wait.is_zero())
        });
        waits.max()
    }

    /// Notes a wrong password.
    pub(super) fn note_wrong(&self, user: &str, address: Option<IpAddr>, now: Instant) {
        let mut wrong = self.wrong.lock();
        for whose in Whose::all(user, address) {
            if wrong.len() >= MOST && !wrong.contains_key(&whose) {
                make_room(&mut wrong, now);
            }
            let known = wrong.entry(whose).or_insert(Wrong { count: 0, last: now });
            if now.duration_since(known.last) > FORGOTTEN {
                known.count = 0;
            }
            *known = Wrong { count: known.count.saturating_add(1), last: now };
        }
    }

    /// Notes a right password: the user's wrong ones are forgotten, those of others from the same address are not.
    pub(super) fn note_right(&self, user: &str) {
        self.wrong.lock().remove(&Whose::User(blake3::hash(user.as_bytes())));
    }
}

fn make_room(wrong: &mut HashMap<Whose, Wrong>, now: Instant) {
    wrong.retain(|_, known| now.duration_since(known.last) <= FORGOTTEN);
    if wrong.len() >= MOST {
        let oldest = wrong.iter().min_by_key(|(_, known)| known.last).map(|(whose, _)| *whose);
        oldest.map(|whose| wrong.remove(&whose));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Option<IpAddr> = Some(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)));

    #[test]
    fn each_wrong_password_beyond_the_free_ones_makes_the_next_wait_twice_as_long() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let mut waits = vec![];
        for _ in 0..14 {
            throttle.note_wrong("ada", HERE, now);
            waits.push(throttle.wait("ada", HERE, now).map_or(0, |wait| wait.as_secs()));
        }
        assert_eq!(waits, [0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60]);
        // Others are let in, also from there, and after its time so is the user.
        assert_eq!(throttle.wait("eve", HERE, now), None);
        assert_eq!(throttle.wait("ada", HERE, now + Duration::from_secs(60)), None);
        throttle.note_right("ada");
        assert_eq!(throttle.wait("ada", HERE, now), None);
    }

    #[test]
    fn an_address_waits_whatever_names_it_tries_and_a_network_is_one_address() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for name in 0..20 {
            throttle.note_wrong(&name.to_string(), HERE, now);
        }
        let neighbour = Some("2001:db8::ffff".parse().unwrap());
        assert_eq!(throttle.wait("ada", neighbour, now), Some(Duration::from_secs(1)));
        assert_eq!(throttle.wait("ada", Some("2001:db8:0:1::1".parse().unwrap()), now), None);
        assert_eq!(throttle.wait("ada", neighbour, now + Duration::from_secs(2)), None);
    }

    #[test]
    fn what_is_long_ago_is_forgotten_and_memory_is_bounded() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for _ in 0..9 {
            throttle.note_wrong("ada", None, now);
        }
        let later = now + FORGOTTEN + Duration::from_secs(1);
        throttle.note_wrong("ada", None, later);
        assert_eq!(throttle.wait("ada", None, later), None);
        for name in 0..MOST + 10 {
            throttle.note_wrong(&name.to_string(), None, later);
        }
        assert_eq!(throttle.wrong.lock().len(), MOST);
    }
}
