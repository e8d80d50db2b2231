//! Many concurrent units, each cancelled at a point that a seeded generator chose.

use std::sync::Arc;

use diesel_binds::{Binds, Error};
use kit::side::PoolKind;
use kit::step::Step;
use kit::world::Sides;
use tokio::task::JoinSet;

use crate::suite::cancel::Bench;
use crate::suite::polls::DropPoint;

const UNITS: u64 = 300;
const AT_ONCE: usize = 4;
const SEED: u64 = 0x5eed_0d1e_5e1b_1d50;

pub(crate) async fn units_cancelled_anywhere_leave_nothing_and_are_whole<S: Sides>(pool: PoolKind) {
    let mut bench = Bench::<S>::new(pool).await;
    let binds = Arc::new(bench.world.binds.clone());
    let mut running = JoinSet::new();
    let mut committed = Vec::new();
    for number in 0..UNITS {
        if running.len() == AT_ONCE {
            committed.extend(running.join_next().await.unwrap().unwrap());
        }
        let binds = Arc::clone(&binds);
        running.spawn(async move { unit::<S>(&binds, number).await });
    }
    while let Some(text) = running.join_next().await {
        committed.extend(text.unwrap());
    }
    bench.assert_clean().await;
    let all = S::rows(&bench.world).await;
    for text in &committed {
        assert!(
            all[0].contains(text),
            "a commit that was confirmed is gone: {text}"
        );
    }
    let sorted = |mut rows: Vec<String>| {
        rows.sort();
        rows
    };
    let mut all = all.into_iter().map(sorted);
    let first = all.next().unwrap();
    for other in all {
        assert_eq!(first, other, "a unit is torn (seed {SEED:#x})");
    }
    assert!(!committed.is_empty() && committed.len() < UNITS as usize);
    bench.world.binds.close().await;
}

/// Runs one unit until it is cancelled. Returns the text that it wrote everywhere if the commit was reported.
async fn unit<S: Sides>(binds: &Binds, number: u64) -> Option<String> {
    let mut random = Random(SEED ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let text = format!("unit {number}");
    let polls = random.below(60);
    let moment = match random.below(2) {
        0 => DropPoint::Asked(polls),
        _ => DropPoint::Answered(polls),
    };
    let work = async {
        let mut session = binds.session();
        for _ in 0..random.below(3) {
            let step = [
                Step::Select,
                Step::Stream,
                Step::StreamLeft,
                Step::Connection,
            ];
            let step = step[random.below(step.len())];
            let side = random.below(S::keys().len());
            S::step(side, step, &mut session, "", "").await?;
        }
        if random.below(2) == 0 {
            S::write(&session, &text).await?;
        } else {
            session
                .savepoint::<_, Error, _>(async |session| S::write(session, &text).await)
                .await?;
        }
        if random.below(8) == 0 {
            session.rollback_all().await?;
            return Ok::<_, Error>(false);
        }
        session.commit_all().await?;
        Ok(true)
    };
    match moment.cut(work).await {
        Some(Ok(true)) => Some(text),
        Some(Ok(false)) | None => None,
        // Units on one table may conflict.
        Some(Err(Error::Query { .. } | Error::Begin { .. })) => None,
        Some(Err(error)) => panic!("unit {number}: {error:?}"),
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % limit as u64).unwrap()
    }
}
