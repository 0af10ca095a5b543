//! Replicas in any interleaving, with lost answers, late writes, pauses and clocks that differ: a slot is never worked
//! in by two.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::model::SLOTS;

const DURATION: Duration = Duration::from_secs(15);
const RENEW: Duration = Duration::from_secs(5);
/// What a write leaves between its own end and the end of the lease, as in `fence`.
const MARGIN: Duration = Duration::from_secs(2);

/// A process that runs a member.
struct Replica {
    name: String,
    member: Member,
    /// Milliseconds of its clock for a thousand of the true one, and what it began with.
    rate: u64,
    offset: u64,
    /// Until when it does nothing, in true milliseconds: stopped, or swapped out.
    paused: u64,
    /// What a read brought and was not looked at yet.
    reading: Option<Table>,
    /// Slots in which work may still be under way, and under which membership.
    working: Slots,
    membership: u64,
    worked: u64,
    was_in: bool,
    until: Option<Duration>,
    ended: u64,
}

impl Replica {
    fn new(name: String, rate: u64, offset: u64) -> Self {
        Self {
            member: Member::new(&name, DURATION, RENEW),
            name,
            rate,
            offset,
            paused: 0,
            reading: None,
            working: Slots::NONE,
            membership: 0,
            worked: 0,
            was_in: false,
            until: None,
            ended: 0,
        }
    }

    fn now(&self, truth: u64) -> Duration {
        Duration::from_millis(self.offset + truth * self.rate / 1000)
    }

    /// What the shell does after each step: opens and closes the fence, begins work in what is new.
    fn tell(&mut self, truth: u64) {
        let now = self.now(truth);
        let until = self.member.until().filter(|until| *until > now);
        if until.is_none() {
            self.member.lose();
        }
        if until.is_some() && !self.was_in {
            self.membership += 1;
        }
        self.was_in = until.is_some();
        self.until = until;
        let (_, slots) = self.member.share();
        if until.is_some() {
            if self.worked != self.membership {
                // A new round begins when the old one has ended; its fence never opened again.
                self.worked = self.membership;
                self.working = Slots::NONE;
            }
            self.working = self.working.and(slots);
        }
    }

    /// Slots in which a write may be under way at this moment of the truth.
    fn may_write(&self, truth: u64) -> Slots {
        let is_open = self.worked == self.membership
            && self
                .until
                .is_some_and(|until| self.now(truth) + MARGIN < until);
        if is_open { self.working } else { Slots::NONE }
    }
}

/// A write that is on its way.
struct Flying {
    by: usize,
    base: u64,
    table: Table,
    sent: Duration,
    /// Whether somebody waits for the answer.
    is_awaited: bool,
}

struct World {
    truth: u64,
    table: Table,
    replicas: Vec<Replica>,
    flying: Vec<Flying>,
    history: Vec<Table>,
    log: String,
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Pass(u64),
    Step(usize),
    /// A write lands, and its answer arrives.
    Land(usize),
    /// The answer is given up; the write may land later, or never.
    GiveUp(usize),
    /// A write whose answer nobody waits for lands, or is dropped.
    Late(usize, bool),
    /// A watch tells one of the tables that there were: old ones, too.
    Watch(usize, usize),
    Ended(usize),
    Pause(usize, u64),
    Start(u64, u64),
    Die(usize),
    Push(usize),
}

impl World {
    fn new() -> Self {
        Self {
            truth: 0,
            table: Table::empty(0),
            replicas: Vec::new(),
            flying: Vec::new(),
            history: Vec::new(),
            log: String::new(),
        }
    }

    fn lands(&mut self, index: usize) -> (Flying, bool) {
        let flying = self.flying.remove(index);
        let is_first = flying.base == self.table.writes;
        if is_first {
            self.table = flying.table.clone();
            self.history.push(self.table.clone());
        }
        (flying, is_first)
    }

    fn is_free(&self, index: usize) -> bool {
        self.replicas
            .get(index)
            .is_some_and(|replica| replica.paused <= self.truth)
            && !self
                .flying
                .iter()
                .any(|flying| flying.is_awaited && flying.by == index)
    }

    fn step(&mut self, index: usize) {
        if !self.is_free(index) {
            return;
        }
        let truth = self.truth;
        let replica = &mut self.replicas[index];
        let now = replica.now(truth);
        replica.member.has_ended(replica.ended);
        if let Some(table) = replica.reading.take() {
            replica.member.see(table, now);
            replica.tell(truth);
            return;
        }
        match replica.member.step(now) {
            Step::Wait(_) => {}
            Step::Read => replica.reading = Some(self.table.clone()),
            Step::Write(table) => self.flying.push(Flying {
                by: index,
                base: replica.member.table().unwrap().writes,
                table: *table,
                sent: now,
                is_awaited: true,
            }),
        }
        replica.tell(truth);
    }

    fn act(&mut self, act: Act) {
        let count = self.replicas.len().max(1);
        let _logged = writeln!(self.log, "{} {act:?}", self.truth);
        match act {
            Act::Pass(time) => self.truth += time,
            Act::Step(index) => self.step(index % count),
            Act::Land(index) if !self.flying.is_empty() => {
                let index = index % self.flying.len();
                let by = self.flying[index].by;
                if !self.flying[index].is_awaited || self.replicas[by].paused > self.truth {
                    return;
                }
                let (flying, is_first) = self.lands(index);
                let truth = self.truth;
                let replica = &mut self.replicas[by];
                if is_first {
                    let now = replica.now(truth);
                    replica.member.written(flying.table, flying.sent, now);
                } else {
                    replica.member.doubt();
                }
                replica.tell(truth);
            }
            Act::GiveUp(index) if !self.flying.is_empty() => {
                let index = index % self.flying.len();
                let flying = &mut self.flying[index];
                if std::mem::take(&mut flying.is_awaited) {
                    let replica = &mut self.replicas[flying.by];
                    replica.member.doubt();
                    replica.tell(self.truth);
                }
            }
            Act::Late(index, lands) if !self.flying.is_empty() => {
                let index = index % self.flying.len();
                if self.flying[index].is_awaited {
                } else if lands {
                    let _landed = self.lands(index);
                } else {
                    self.flying.remove(index);
                }
            }
            Act::Watch(index, back) if !self.history.is_empty() => {
                let index = index % count;
                if self.is_free(index) && self.replicas[index].reading.is_none() {
                    let back = back % self.history.len();
                    let table = self.history[self.history.len() - 1 - back].clone();
                    let truth = self.truth;
                    let replica = &mut self.replicas[index];
                    let known = replica.member.table().map(|known| known.writes);
                    // As the shell does: only what is newer than what is known.
                    if known.is_some_and(|known| known < table.writes) {
                        let now = replica.now(truth);
                        replica.member.see(table, now);
                        replica.tell(truth);
                    }
                }
            }
            Act::Ended(index) => {
                if let Some(replica) = self.replicas.get_mut(index % count) {
                    let (version, slots) = replica.member.share();
                    replica.working = replica.working.common(slots);
                    replica.ended = version;
                }
            }
            Act::Pause(index, time) => {
                if let Some(replica) = self.replicas.get_mut(index % count) {
                    replica.paused = self.truth + time;
                }
            }
            Act::Start(rate, offset) if self.replicas.len() < 6 => {
                let name = format!("replica-{}-{}", self.replicas.len(), self.truth);
                self.replicas.push(Replica::new(name, rate, offset));
            }
            Act::Die(index) => {
                // What it sent may still land; its place is taken by another of another name.
                if let Some(replica) = self.replicas.get_mut(index % count) {
                    let name = format!("{}-again", replica.name);
                    *replica = Replica::new(name, replica.rate, replica.offset);
                    for flying in &mut self.flying {
                        flying.is_awaited &= flying.by != index % count;
                    }
                }
            }
            Act::Push(index) => {
                if let Some(replica) = self.replicas.get_mut(index % count) {
                    replica.member.announce(format!("{index}"));
                }
            }
            Act::Land(_) | Act::GiveUp(_) | Act::Late(..) | Act::Watch(..) | Act::Start(..) => {}
        }
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let mut all = Slots::NONE;
        for replica in &self.replicas {
            let may = replica.may_write(self.truth);
            prop_assert!(
                all.common(may).is_empty(),
                "two work in {} at {}: {:?}\n{}",
                all.common(may),
                self.truth,
                self.table,
                self.log
            );
            all = all.and(may);
        }
        Ok(())
    }
}

fn act() -> impl Strategy<Value = Act> {
    let who = 0..6_usize;
    prop_oneof![
        6 => (1..3_000_u64).prop_map(Act::Pass),
        1 => (3_000..16_000_u64).prop_map(Act::Pass),
        12 => who.clone().prop_map(Act::Step),
        10 => who.clone().prop_map(Act::Land),
        2 => who.clone().prop_map(Act::GiveUp),
        2 => (who.clone(), any::<bool>()).prop_map(|(who, lands)| Act::Late(who, lands)),
        6 => (who.clone(), 0..8_usize).prop_map(|(who, back)| Act::Watch(who, back)),
        6 => who.clone().prop_map(Act::Ended),
        1 => (who.clone(), 1_000..40_000_u64).prop_map(|(who, time)| Act::Pause(who, time)),
        // Clocks that differ by as much as a tenth.
        1 => (950..1_050_u64, 0..1_000_000_u64).prop_map(|(rate, offset)| Act::Start(rate, offset)),
        1 => who.clone().prop_map(Act::Die),
        1 => who.prop_map(Act::Push),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_slot_is_worked_in_by_two(acts in proptest::collection::vec(act(), 1..600)) {
        let mut world = World::new();
        world.act(Act::Start(1_000, 0));
        world.act(Act::Start(1_020, 500_000));
        world.act(Act::Start(980, 7));
        for act in acts {
            world.act(act);
            world.check()?;
        }
        // And when everything is calm again, everything is held, evenly.
        for replica in &mut world.replicas {
            replica.paused = 0;
        }
        for _ in 0..80 {
            world.act(Act::Pass(1_000));
            for index in 0..world.replicas.len() {
                for act in [Act::Step(index), Act::Step(index), Act::Ended(index), Act::Step(index)] {
                    world.act(act);
                    while !world.flying.is_empty() {
                        if world.flying[0].is_awaited {
                            world.act(Act::Land(0));
                        } else {
                            world.act(Act::Late(0, true));
                        }
                        world.check()?;
                    }
                }
            }
        }
        prop_assert!(world.table.free().is_empty());
        let counts: Vec<usize> = world.replicas.iter().map(|replica| replica.may_write(world.truth).len()).collect();
        prop_assert_eq!(counts.iter().sum::<usize>(), SLOTS, "{:?}\n{}", counts, world.log);
        let (most, fewest) = (counts.iter().max().unwrap(), counts.iter().min().unwrap());
        prop_assert!(most - fewest <= 1, "{:?}", counts);
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Steps until it waits; every write lands at once. Returns the table and how long it waits.
fn settle(member: &mut Member, table: &mut Table, now: Duration) -> Duration {
    loop {
        match member.step(now) {
            Step::Wait(pause) => return pause,
            Step::Read => member.see(table.clone(), now),
            Step::Write(next) if member.table().unwrap().writes == table.writes => {
                *table = (*next).clone();
                member.written(*next, now, now);
            }
            Step::Write(_) => member.doubt(),
        }
    }
}

fn two() -> (Member, Member, Table) {
    let mut table = Table::empty(0);
    let mut a = Member::new("a", DURATION, RENEW);
    let mut b = Member::new("b", DURATION, RENEW);
    assert_eq!(settle(&mut a, &mut table, seconds(1)), RENEW);
    assert_eq!(a.share().1, Slots::ALL);
    settle(&mut b, &mut table, seconds(1));
    assert_eq!(b.share().1, Slots::NONE);
    (a, b, table)
}

#[test]
fn what_is_handed_over_was_given_up_before() {
    let (mut a, mut b, mut table) = two();
    // a sees that somebody came: its work in half of the slots is to end, and until it has nothing moves.
    a.see(table.clone(), seconds(2));
    let (version, slots) = a.share();
    assert_eq!(slots.to_string(), "0-127");
    settle(&mut a, &mut table, seconds(2));
    assert_eq!(table.slots("a"), Slots::ALL);
    a.has_ended(a.giving_since - 1);
    settle(&mut a, &mut table, seconds(3));
    assert_eq!(table.slots("a"), Slots::ALL);
    a.has_ended(version);
    settle(&mut a, &mut table, seconds(3));
    assert_eq!(table.slots("b").to_string(), "128-255");
    b.see(table.clone(), seconds(3));
    assert_eq!(b.share().1.to_string(), "128-255");
    assert_eq!(table.slots("a"), a.share().1);
}

#[test]
fn a_part_that_nobody_takes_any_more_is_taken_up_again() {
    let (mut a, b, mut table) = two();
    a.see(table.clone(), seconds(2));
    assert_eq!(a.share().1.len(), 128);
    table = {
        let mut b = b;
        b.see(table.clone(), seconds(2));
        b.farewell(seconds(2)).unwrap()
    };
    a.see(table.clone(), seconds(3));
    let (version, _) = a.share();
    a.has_ended(version);
    settle(&mut a, &mut table, seconds(3));
    assert_eq!(a.share().1, Slots::ALL);
}

#[test]
fn a_replica_that_is_gone_is_followed_when_its_time_is_over() {
    let (mut a, mut b, mut table) = two();
    a.see(table.clone(), seconds(2));
    a.has_ended(a.share().0);
    settle(&mut a, &mut table, seconds(2));
    // a is killed; b saw it last at 2 s.
    b.see(table.clone(), seconds(2));
    let mut now = seconds(2);
    loop {
        let pause = settle(&mut b, &mut table, now);
        if b.share().1 == Slots::ALL {
            break;
        }
        assert!(now < seconds(17), "{now:?}");
        now += pause.max(Duration::from_millis(1));
    }
    assert_eq!(now, seconds(17));
    // And where it only slept: what was its part is not when it wakes, and the other is not blamed for it.
    assert_eq!(a.step(seconds(30)), {
        let mut again = a.table().unwrap().clone();
        again.writes += 1;
        again.members.get_mut("a").unwrap().beat = again.writes;
        Step::Write(Box::new(again))
    });
    assert_eq!(a.share().1, Slots::NONE);
    // Which the API server refuses.
    settle(&mut a, &mut table, seconds(30));
    assert_eq!(a.share().1, Slots::NONE);
    assert!(table.members.contains_key("a"));
}

#[test]
fn pushes_are_told_to_others_and_to_nobody_where_there_are_none() {
    let mut table = Table::empty(0);
    let mut a = Member::new("a", DURATION, RENEW);
    settle(&mut a, &mut table, seconds(1));
    a.announce("00".to_owned());
    settle(&mut a, &mut table, seconds(2));
    assert_eq!((table.writes, table.next_push), (1, 0));
    let (mut a, _, mut table) = two();
    a.see(table.clone(), seconds(2));
    a.announce("00".to_owned());
    let pause = settle(&mut a, &mut table, seconds(2));
    assert_eq!(table.next_push, 1);
    assert_eq!(table.pushes[0].by, "a");
    assert!(pause > seconds(1));
    // A storm is told five times a second.
    a.announce("01".to_owned());
    assert!(settle(&mut a, &mut table, seconds(2)) <= Duration::from_millis(200));
    settle(&mut a, &mut table, seconds(3));
    assert_eq!(table.next_push, 2);
}
