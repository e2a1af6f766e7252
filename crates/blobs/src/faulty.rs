//! A store of blobs that fails or stops on purpose, for tests: a wrapper around any engine.
//!
//! What lives here: a step before and one after the effect of every call that changes something, or that a change waits
//! for. What does not: when which step goes wrong; whoever makes the wrapper decides ([`Step`]). The invariant: a call that
//! goes on does what the engine does, and a call that stops keeps what it holds, as a process that hangs does.

use std::{
    future::{Future, pending},
    sync::Arc,
    task::Poll,
};

use bytes::Bytes;
use model::{AccountId, BlobId, Digest, Result, Time};

use crate::{Blob, Blobs, Chain, ContentHash, Follow, Lying, Stage, Staged, Task};

/// Asked at every step, with a name for it: `Ready(Ok)` goes on, `Ready(Err)` fails there, `Pending` never answers.
pub type Step = Arc<dyn Fn(&'static str) -> Poll<Result<()>> + Send + Sync>;

/// An engine whose steps may go wrong.
pub struct Faulty {
    engine: Arc<dyn Blobs>,
    step: Step,
}

impl Faulty {
    /// Around `engine`.
    pub fn new(engine: Arc<dyn Blobs>, step: Step) -> Self {
        Self { engine, step }
    }
}

/// One step.
async fn at(step: &Step, name: &'static str) -> Result<()> {
    match step(name) {
        Poll::Ready(result) => result,
        Poll::Pending => pending().await,
    }
}

/// A step, the effect, and a step.
async fn around<T>(
    step: &Step,
    names: [&'static str; 2],
    effect: impl Future<Output = Result<T>>,
) -> Result<T> {
    at(step, names[0]).await?;
    let done = effect.await?;
    at(step, names[1]).await?;
    Ok(done)
}

impl Blobs for Faulty {
    fn takes(&self, bytes: u64) -> Result<()> {
        self.engine.takes(bytes)
    }

    fn stage(&self, account: AccountId, now: Time) -> Task<'_, Result<Box<dyn Stage>>> {
        Box::pin(async move {
            let effect = self.engine.stage(account, now);
            let stage = around(&self.step, ["before stage", "after stage"], effect).await?;
            Ok(Box::new(FaultyStage { stage, step: self.step.clone() }) as Box<dyn Stage>)
        })
    }

    fn stage_as(&self, id: BlobId) -> Task<'_, Result<Box<dyn Stage>>> {
        Box::pin(async move {
            let effect = self.engine.stage_as(id);
            let stage = around(&self.step, ["before stage", "after stage"], effect).await?;
            Ok(Box::new(FaultyStage { stage, step: self.step.clone() }) as Box<dyn Stage>)
        })
    }

    fn open(&self, id: BlobId) -> Task<'_, Result<Box<dyn Blob>>> {
        Box::pin(async move {
            at(&self.step, "before open").await?;
            self.engine.open(id).await
        })
    }

    fn remove(&self, id: BlobId) -> Task<'_, Result<()>> {
        Box::pin(async move {
            around(&self.step, ["before remove", "after remove"], self.engine.remove(id)).await
        })
    }

    fn remove_all(&self, ids: Vec<BlobId>) -> Task<'_, Result<()>> {
        Box::pin(async move {
            let effect = self.engine.remove_all(ids);
            around(&self.step, ["before remove", "after remove"], effect).await
        })
    }

    fn survey(&self, visit: Box<dyn FnMut(Vec<Lying>) + Send>) -> Task<'_, Result<()>> {
        self.engine.survey(visit)
    }

    fn sealed_between(
        &self,
        since: Time,
        before: Time,
        visit: Box<dyn FnMut(Vec<BlobId>) + Send>,
    ) -> Task<'_, Result<()>> {
        Box::pin(async move {
            let effect = self.engine.sealed_between(since, before, visit);
            around(&self.step, ["before the walk", "after the walk"], effect).await
        })
    }

    fn give_up_stages(&self, before: Time) -> Task<'_, Result<usize>> {
        self.engine.give_up_stages(before)
    }
}

/// It cannot be followed in place, as a stage of an object store cannot.
struct FaultyStage {
    stage: Box<dyn Stage>,
    step: Step,
}

impl Stage for FaultyStage {
    fn write(&mut self, bytes: Bytes) -> Task<'_, Result<()>> {
        let Self { stage, step } = self;
        Box::pin(around(step, ["before write", "after write"], async { stage.write(bytes).await }))
    }

    fn follow(&mut self) -> Option<Arc<dyn Follow>> {
        self.stage.follow()
    }

    fn chain(&mut self) -> Chain {
        self.stage.chain()
    }

    fn finish(self: Box<Self>) -> Task<'static, Result<Box<dyn Staged>>> {
        Box::pin(async move {
            let Self { stage, step } = *self;
            let effect = async { stage.finish().await };
            let staged = around(&step, ["before finish", "after finish"], effect).await?;
            Ok(Box::new(FaultyStaged { staged, step }) as Box<dyn Staged>)
        })
    }
}

struct FaultyStaged {
    staged: Box<dyn Staged>,
    step: Step,
}

impl Staged for FaultyStaged {
    fn len(&self) -> u64 {
        self.staged.len()
    }

    fn digest(&self) -> Digest {
        self.staged.digest()
    }

    fn hash(&self) -> Option<ContentHash> {
        self.staged.hash()
    }

    fn seal(self: Box<Self>) -> Task<'static, Result<BlobId>> {
        Box::pin(async move {
            let Self { staged, step } = *self;
            // Engines begin to seal when they are asked, not when they are waited for.
            let effect = async { staged.seal().await };
            around(&step, ["before seal", "after seal"], effect).await
        })
    }
}

#[cfg(test)]
mod tests {
    use model::Error;

    use super::*;
    use crate::{Local, suite};

    /// Where nothing goes wrong, the wrapper keeps the law.
    fn fresh() -> impl Fn() -> Arc<dyn Blobs> + Sync {
        let dir = tempfile::tempdir().unwrap();
        move || {
            let local = Arc::new(Local::open(dir.path()).unwrap());
            Arc::new(Faulty::new(local, Arc::new(|_| Poll::Ready(Ok(()))))) as Arc<dyn Blobs>
        }
    }

    crate::laws!(fresh: round_trips, sealed_blobs_survive_reopening, streams_do_not_mix);

    #[tokio::test]
    async fn a_seal_fails_before_and_after_its_effect() {
        let dir = tempfile::tempdir().unwrap();
        let local: Arc<dyn Blobs> = Arc::new(Local::open(dir.path()).unwrap());
        for (wrong, left) in [("before seal", 0), ("after seal", 1)] {
            let step = move |name: &str| match name == wrong {
                true => Poll::Ready(Err(Error::Storage("on purpose".to_owned()))),
                false => Poll::Ready(Ok(())),
            };
            let faulty = Faulty::new(local.clone(), Arc::new(step));
            let mut stage = faulty.stage(AccountId(1), Time(5)).await.unwrap();
            stage.write(Bytes::from_static(b"bytes")).await.unwrap();
            let sealed = stage.finish().await.unwrap().seal().await;
            assert!(matches!(sealed, Err(Error::Storage(_))), "{wrong}");
            assert_eq!(suite::listed(&*local, Time(0), Time(9)).await.len(), left, "{wrong}");
        }
    }
}
