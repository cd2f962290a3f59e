//! One request a row, several at a time.

use futures::StreamExt;

use super::run::{Question, Run, locked};
use crate::journal::Record;

impl Run<'_> {
    /// Asks all that is open. When something stops the run, what is under way is waited for: it is paid for.
    pub(super) async fn one_by_one(&self) {
        let open: Vec<Question> = self.questions.iter().filter(|question| self.is_open(question)).cloned().collect();
        let asked = futures::stream::iter(open).map(|question| self.until_answered(question));
        asked.buffer_unordered(self.settings.concurrency.max(1)).for_each(|()| async {}).await;
    }

    /// Asks until there is an answer that can be used, or there is no use in it.
    async fn until_answered(&self, question: Question) {
        let question = &question;
        while self.is_open(question) && !self.is_stopped() {
            let Some(pieces) = self.pieces(question) else { return };
            let most = self.most(question);
            let has_room = locked(&self.budget).reserve(most);
            if !has_room {
                return self.stop_for_budget();
            }
            if !self.record(Record::Asked { key: question.key.clone() }) {
                return;
            }
            let attempt = self.times_rejected(question);
            let name = blake3::hash(format!("{} {attempt}", question.key).as_bytes()).to_hex();
            let sent = self.patiently(|| self.api.ask(&self.settings.prompt, &pieces, &name[..32])).await;
            let taken = match sent {
                Some(Ok(reply)) => self.take(question, reply),
                Some(Err(reason)) => {
                    self.refused(question, reason);
                    Default::default()
                }
                None => Default::default(),
            };
            locked(&self.budget).settle(most, taken);
        }
    }
}
