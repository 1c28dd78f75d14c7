//! The unix socket on which the plugin asks for pods' policy, and the commands for what holds. Root alone may open it.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fairlead_cni_node::owned::POLICY_SOCKET_NAME;
use fairlead_cni_node::policy::{
    Answer, Message as _, MessageError, PREFIX, Refusal, RefusalCode, Request, length_of,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};

use super::{Mailbox, Message};
use crate::error::AgentError;

/// How long a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(5);

/// Answers that wait for a client that follows flows.
const BEHIND: usize = 1024;

/// Who serves requests.
#[derive(Debug, Clone)]
pub enum Serves {
    /// The worker.
    Worker(Mailbox),
    /// Nobody: policy is switched off.
    Off,
}

/// Takes the socket; one that an earlier agent left is replaced.
///
/// # Errors
///
/// [`AgentError::File`].
pub fn listen(run_dir: &Path) -> Result<UnixListener, AgentError> {
    let path = run_dir.join(POLICY_SOCKET_NAME);
    let fresh = run_dir.join(format!(".{POLICY_SOCKET_NAME}.new"));
    let failed = |path: &PathBuf| {
        let path = path.clone();
        move |source| AgentError::file("listen on", &path, source)
    };
    std::fs::create_dir_all(run_dir)
        .map_err(|source| AgentError::file("create", run_dir, source))?;
    crate::files::remove(&fresh)?;
    let listener = UnixListener::bind(&fresh).map_err(failed(&fresh))?;
    // It has its mode before anybody can find it under its name.
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&fresh, mode).map_err(failed(&fresh))?;
    std::fs::rename(&fresh, &path).map_err(failed(&path))?;
    Ok(listener)
}

/// Answers for ever.
pub async fn serve(listener: UnixListener, serves: Serves) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors: leave time for some to come back.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let serves = serves.clone();
        tokio::spawn(async move {
            // A client that goes away is no matter of ours.
            let _ = converse(stream, serves).await;
        });
    }
}

async fn converse(mut stream: UnixStream, serves: Serves) -> std::io::Result<()> {
    let Ok(received) = tokio::time::timeout(PATIENCE, receive(&mut stream)).await else {
        return Ok(());
    };
    let answer = match (received?, serves) {
        (Err(error), _) => refusal(RefusalCode::Unsupported, error.to_string()),
        (Ok(_), Serves::Off) => refusal(RefusalCode::Off, "policy.enabled is false".to_owned()),
        (Ok(Request::Flows(wanted)), Serves::Worker(mailbox)) => {
            let (to, answers) = mpsc::channel(BEHIND);
            mailbox.send(Message::Follow(wanted, to));
            return follow(stream, answers).await;
        }
        (Ok(request), Serves::Worker(mailbox)) => {
            let (reply, answer) = oneshot::channel();
            mailbox.send(Message::Asked(request, reply));
            let ended = "the agent ends".to_owned();
            answer
                .await
                .unwrap_or_else(|_| refusal(RefusalCode::Failed, ended))
        }
    };
    send(&mut stream, &answer).await
}

/// Hands on answers until the client has gone.
async fn follow(
    mut stream: UnixStream,
    mut answers: mpsc::Receiver<Answer>,
) -> std::io::Result<()> {
    let mut nothing = [0; 1];
    loop {
        let (mut read, mut write) = stream.split();
        tokio::select! {
            answer = answers.recv() => match answer {
                Some(answer) => {
                    let bytes = answer.encode().unwrap_or_default();
                    write.write_all(&bytes).await?;
                }
                None => return Ok(()),
            },
            _ = read.read(&mut nothing) => return Ok(()),
        }
    }
}

async fn receive(stream: &mut UnixStream) -> std::io::Result<Result<Request, MessageError>> {
    let mut prefix = [0; PREFIX];
    stream.read_exact(&mut prefix).await?;
    let length = match length_of(prefix) {
        Ok(length) => length,
        Err(error) => return Ok(Err(error)),
    };
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await?;
    Ok(Request::decode(&bytes))
}

async fn send(stream: &mut UnixStream, answer: &Answer) -> std::io::Result<()> {
    let bytes = answer
        .encode()
        .or_else(|error| refusal(RefusalCode::Failed, error.to_string()).encode());
    stream.write_all(&bytes.unwrap_or_default()).await
}

fn refusal(code: RefusalCode, message: String) -> Answer {
    Answer::Error(Refusal { code, message })
}
