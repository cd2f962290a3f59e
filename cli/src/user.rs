//! `tamis user`.

use std::io::{IsTerminal, Write};

use tamis_cluster::access::{hash_password, hash_token, random_token};

use super::Ending;
use super::args::UserCommand;
use super::error::CommandError;

/// Runs `tamis user ...`.
pub(super) fn run(command: &UserCommand) -> Result<Ending, CommandError> {
    let text = match command {
        UserCommand::Password => {
            if std::io::stdin().is_terminal() {
                eprintln!("The password, and Enter (it is shown; a pipe shows nothing):");
            }
            let mut password = String::new();
            let unreadable = |source| CommandError::Script { path: "the standard input".into(), source };
            std::io::stdin().read_line(&mut password).map_err(unreadable)?;
            let password = password.trim_end_matches(['\r', '\n']);
            if password.is_empty() {
                return Err(CommandError::Usage("the password is empty".into()));
            }
            format!("password = \"{}\"", hash_password(password)?)
        }
        UserCommand::Token => {
            let token = random_token()?;
            format!("# the token, for the client: {token}\ntokens = [\"{}\"]", hash_token(&token))
        }
    };
    writeln!(std::io::stdout(), "{text}").map_err(CommandError::Print)?;
    Ok(Ending::Done)
}
