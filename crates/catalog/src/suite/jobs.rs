//! The law of jobs: found by id, by account and by time, counted by state, and claimed by one at a time.

use std::collections::BTreeMap;

use ::model::{
    AccountId, Digest, Job, JobId, JobState, Lease, NodeId, Owner, Time, TreePath, UserId,
};

use super::{Open, submit};

/// A job that differs with its seed; every state comes up.
fn job(account: u32, number: u64, seed: u64) -> Job {
    let few = u32::from(seed.to_le_bytes()[0]);
    Job {
        id: JobId { account: AccountId(account), number },
        user: UserId(few),
        owner: Owner { uid: u32::MAX, gid: few },
        path: TreePath::parse(&format!("d/{seed}/今")).unwrap(),
        make_directories: seed.is_multiple_of(2),
        source: format!("http://host/{seed}"),
        sealed_request: vec![few.to_le_bytes()[0]; 300],
        checksum: seed.is_multiple_of(3).then_some(Digest([7; 32])),
        state: JobState::ALL[usize::try_from(seed % 5).unwrap()],
        attempts: few,
        next_at: Time(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20),
        created: Time(seed),
        changed: Time(seed << 40),
        error: if seed.is_multiple_of(7) { String::new() } else { "why".repeat(100) },
        bytes: u64::MAX - seed,
        lease: seed
            .is_multiple_of(11)
            .then(|| Lease { holder: NodeId(u64::MAX - seed), until: Time(seed << 20) }),
    }
}

pub(crate) async fn jobs_by_account_and_time(open: Open<'_>) {
    let queued = |account, number, at| Job {
        state: JobState::Queued,
        next_at: Time(at),
        lease: None,
        ..job(account, number, number)
    };
    let all = [
        queued(1, 255, 300),
        queued(1, 256, 200),
        Job { state: JobState::Running, ..queued(2, 1, 0) },
        queued(256, 1, 255),
        Job { state: JobState::Failed, ..queued(256, 2, 0) },
    ];
    let (put, expected) = (all.clone(), all.clone());
    let catalog = open();
    catalog
        .write(move |tx| {
            put.iter().try_for_each(|job| tx.put_job(job))?;
            assert_eq!(tx.jobs_due(9)?.len(), 3, "a transaction sees itself");
            Ok(())
        })
        .await
        .unwrap();
    drop(catalog);
    let catalog = open();
    catalog
        .read(move |r| {
            assert_eq!(r.jobs(None, 9)?, expected);
            assert_eq!(r.jobs(Some(expected[1].id), 2)?, expected[2..4]);
            assert_eq!((r.jobs(None, 0)?, r.jobs(Some(expected[4].id), 9)?), (vec![], vec![]));
            assert_eq!(r.jobs_of(AccountId(1), 0, 9)?, expected[..2]);
            assert_eq!(r.jobs_of(AccountId(1), 255, 9)?, expected[1..2]);
            assert_eq!(r.jobs_of(AccountId(256), 0, 1)?, expected[3..4]);
            assert_eq!(
                (r.jobs_of(AccountId(3), 0, 9)?, r.jobs_of(AccountId(1), 256, 9)?),
                (vec![], vec![])
            );
            assert_eq!(r.job(expected[3].id)?.as_ref(), Some(&expected[3]));
            assert_eq!(r.job(JobId { account: AccountId(2), number: 2 })?, None);
            let due = [
                (Time(200), expected[1].id),
                (Time(255), expected[3].id),
                (Time(300), expected[0].id),
            ];
            assert_eq!((r.jobs_due(9)?, r.jobs_due(1)?), (due.to_vec(), due[..1].to_vec()));
            let mut count = |account| r.unfinished_jobs(AccountId(account));
            assert_eq!((count(1)?, count(2)?, count(256)?, count(9)?), (2, 1, 1, 0));
            Ok(())
        })
        .await
        .unwrap();
}

/// Whatever is put, replaced and removed: what is due and what counts is what the jobs say.
pub(crate) async fn random_jobs(open: Open<'_>) {
    let catalog = open();
    let (mut model, mut seed) = (BTreeMap::new(), 1_u64);
    for _ in 0..300 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let roll = seed >> 33;
        let one = job(u32::try_from(roll % 3).unwrap(), roll / 3 % 10, roll / 30);
        let id = one.id;
        if roll.is_multiple_of(4) {
            model.remove(&id);
            catalog.write(move |tx| tx.remove_job(id)).await.unwrap();
        } else {
            model.insert(id, one.clone());
            catalog.write(move |tx| tx.put_job(&one)).await.unwrap();
        }
        let all: Vec<Job> = model.values().cloned().collect();
        catalog
            .read(move |r| {
                assert_eq!(r.jobs(None, 99)?, all);
                let due = all.iter().filter_map(|job| Some((job.due_at()?, job.id)));
                let mut due: Vec<_> = due.collect();
                due.sort();
                assert_eq!(r.jobs_due(99)?, due);
                for account in (0..3).map(AccountId) {
                    let mine = all.iter().filter(|job| job.id.account == account);
                    let count = mine.filter(|job| job.state.is_unfinished()).count();
                    assert_eq!(r.unfinished_jobs(account)?, count as u64);
                }
                Ok(())
            })
            .await
            .unwrap();
    }
}

/// A job is begun by whoever claims it first, when it is due, and again when its runner's lease has run out.
pub(crate) async fn claims(open: Open<'_>) {
    let catalog = open();
    let queued = |number, at| Job {
        state: JobState::Queued,
        attempts: 0,
        next_at: Time(at),
        lease: None,
        ..job(1, number, 5)
    };
    let jobs = [queued(1, 50), queued(2, 40), queued(3, 60)];
    let put = jobs.clone();
    catalog.write(move |tx| put.iter().try_for_each(|job| tx.put_job(job))).await.unwrap();
    let claim = async |node: u64, now: u64| {
        let lease = Lease { holder: NodeId(node), until: Time(now + 100) };
        catalog.write(move |tx| tx.claim_job(lease, Time(now))).await.unwrap()
    };
    assert_eq!(claim(7, 39).await, None, "none is due");
    let first = claim(7, 55).await.unwrap();
    let lease = Lease { holder: NodeId(7), until: Time(155) };
    let (state, changed, bytes) = (JobState::Running, Time(55), 0);
    let begun = Job { state, changed, bytes, attempts: 1, lease: Some(lease), ..jobs[1].clone() };
    assert_eq!(first, begun, "the one whose time comes first");
    assert_eq!(claim(8, 55).await.unwrap().id, jobs[0].id);
    assert_eq!(claim(8, 55).await, None, "the third is not due, the others run");
    drop(catalog);
    let catalog = open();
    catalog
        .read(move |r| {
            assert_eq!(r.job(begun.id)?.as_ref(), Some(&begun));
            let due = r.jobs_due(9)?;
            let times: Vec<_> = due.iter().map(|(at, id)| (at.0, id.number)).collect();
            assert_eq!(times, [(60, 3), (155, 1), (155, 2)], "running ones when they may be taken");
            assert_eq!(r.unfinished_jobs(AccountId(1))?, 3);
            Ok(())
        })
        .await
        .unwrap();
    let claim = async |node: u64, now: u64| {
        let lease = Lease { holder: NodeId(node), until: Time(now + 100) };
        catalog.write(move |tx| tx.claim_job(lease, Time(now))).await.unwrap()
    };
    assert_eq!(claim(9, 154).await.map(|job| job.id.number), Some(3));
    assert_eq!(claim(9, 154).await, None);
    let again = claim(9, 155).await.unwrap();
    assert_eq!((again.id.number, again.attempts), (1, 2));
    assert_eq!(again.lease.map(|lease| lease.holder), Some(NodeId(9)));
}

/// Many claim at once: each job is begun once.
pub(crate) async fn claims_at_once(open: Open<'_>) {
    let catalog = open();
    let put = |tx: &mut dyn crate::Tx| {
        (1..=20).try_for_each(|number| {
            let job = job(2, number, number);
            tx.put_job(&Job { state: JobState::Queued, next_at: Time(1), lease: None, ..job })
        })
    };
    catalog.write(put).await.unwrap();
    let mut claims = Vec::new();
    for node in 0..40_u64 {
        let lease = Lease { holder: NodeId(node), until: Time(100) };
        claims.push(submit(catalog.write(move |tx| tx.claim_job(lease, Time(2)))).await);
    }
    let mut numbers = Vec::new();
    for claim in claims {
        numbers.extend(claim.wait().await.unwrap().map(|job| job.id.number));
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=20).collect::<Vec<_>>());
}
