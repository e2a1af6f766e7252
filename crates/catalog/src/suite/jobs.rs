//! The law of jobs: found by id, by account and by time, and counted by state.

use std::collections::BTreeMap;

use ::model::{AccountId, Digest, Job, JobId, JobState, Owner, Time, TreePath, UserId};

use super::Open;

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
    }
}

pub(crate) async fn jobs_by_account_and_time(open: Open<'_>) {
    let queued = |account, number, at| Job {
        state: JobState::Queued,
        next_at: Time(at),
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
                let queued = all.iter().filter(|job| job.state == JobState::Queued);
                let mut due: Vec<_> = queued.map(|job| (job.next_at, job.id)).collect();
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
