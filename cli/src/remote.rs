//! `tamis sql --remote`: the statements run on a server.

use std::ops::ControlFlow;

use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{Ident, ObjectNamePart, TableAlias, TableFactor, VisitMut, VisitorMut};
use futures::TryStreamExt;

use super::args::SqlArgs;
use super::error::CommandError;
use super::print::{PrintFormat, Printer};
use super::progress::Progress;
use super::run::{gives_rows, interruptible};
use super::server::client_tls;
use super::{Ending, block_on};
use tamis_cluster::flight::client::{Credentials, RemoteSession};
use tamis_cluster::net::{Endpoint, Link};
use tamis_engine::session::SessionSettings;
use tamis_engine::statements::{self, CORPUS};
use tamis_files::output::{BinaryForm, FileOutput};
use tamis_files::tables::looks_like_a_file;

/// How results are printed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Printing {
    pub(super) format: PrintFormat,
    pub(super) form: BinaryForm,
    pub(super) is_quiet: bool,
}

/// Runs statements on a server.
pub(super) fn run(
    server: Endpoint,
    args: &SqlArgs,
    script: String,
    output: Option<FileOutput>,
    printing: Printing,
) -> Result<Ending, CommandError> {
    let remote = &args.remote;
    let credentials = match (&remote.token, &remote.user) {
        (Some(token), _) => Credentials::Token(token.clone()),
        (None, Some(user)) => {
            let password = remote
                .password
                .clone()
                .ok_or_else(|| CommandError::Usage(format!("logging in as {user}: no password; set TAMIS_PASSWORD")))?;
            Credentials::Password { user: user.clone(), password }
        }
        (None, None) => Credentials::None,
    };
    let tls = match server.is_tls {
        true => Some(client_tls(remote.tls_authority.as_deref(), None)?),
        false => None,
    };
    let link = Link { tls, secret: None };
    let settings = args.session.settings();
    block_on(async move {
        let work = async move {
            let session = RemoteSession::open(server, &link, credentials).await?;
            run_all(&session, &settings, &script, output.as_ref(), printing).await
        };
        Ok(interruptible(work).await?.map_or(Ending::Interrupted, |()| Ending::Done))
    })
}

async fn run_all(
    session: &RemoteSession,
    settings: &SessionSettings,
    script: &str,
    output: Option<&FileOutput>,
    printing: Printing,
) -> Result<(), CommandError> {
    let mut parsed = statements::parse(script)?;
    if let Some(output) = output {
        match parsed.iter().filter(|statement| gives_rows(statement)).count() {
            0 => return Err(CommandError::NoOutput { location: output.location().to_string() }),
            1 => {}
            _ => return Err(CommandError::SeveralOutputs),
        }
    }
    for (key, value) in &settings.options {
        let set = format!("SET {key} = '{}'", value.replace('\'', "''"));
        let result = session.run(&set, &RemoteSession::query_id()?).await?;
        result.rows.try_collect::<Vec<_>>().await?;
    }
    let texts = statements::texts(script);
    let are_all = texts.len() == parsed.len();
    for (number, statement) in parsed.iter_mut().enumerate() {
        let before = statement.clone();
        if settings.corpus.is_some() {
            statements::read_from_corpus(statement, true)?;
        }
        name_files(statement, settings.corpus.as_deref());
        // What was not changed is sent as it was written: its errors tell places.
        let sql = match texts.as_slice() {
            [_] if before == *statement => script.to_string(),
            texts if before == *statement && are_all => texts[number].to_string(),
            _ => statement.to_string(),
        };
        run_one(session, statement, &sql, output, printing).await.map_err(|error| error.locate(script))?;
    }
    Ok(())
}

async fn run_one(
    session: &RemoteSession,
    statement: &Statement,
    sql: &str,
    output: Option<&FileOutput>,
    printing: Printing,
) -> Result<(), CommandError> {
    let id = RemoteSession::query_id()?;
    let progress = Progress::follow(session, &id, printing.is_quiet);
    let result = session.run(sql, &id).await?;
    match output.filter(|_| gives_rows(statement)) {
        Some(output) => {
            let rows = output.write(&SessionContext::new(), result.rows).await?;
            drop(progress);
            if !printing.is_quiet {
                eprintln!("wrote {rows} rows to {}", output.location());
            }
        }
        None => {
            let mut printer = Printer::new(printing.format, &result.schema, printing.form);
            let mut stdout = std::io::stdout();
            let has_columns = !result.schema.fields().is_empty();
            let mut rows = result.rows;
            while let Some(batch) = rows.try_next().await? {
                progress.suspend(|| printer.print(&batch, &mut stdout))?;
            }
            if has_columns {
                progress.suspend(|| printer.finish(&mut stdout))?;
            }
        }
    }
    Ok(())
}

/// Names files as the server finds them: a path counts from this process's folder, and the corpus is the file that it
/// stands for.
fn name_files(statement: &mut Statement, corpus: Option<&str>) {
    let mut names = Files { corpus };
    let _ = match statement {
        Statement::Statement(statement) => statement.visit(&mut names),
        Statement::Explain(explain) => {
            name_files(&mut explain.statement, corpus);
            ControlFlow::Continue(())
        }
        _ => ControlFlow::Continue(()),
    };
}

struct Files<'a> {
    corpus: Option<&'a str>,
}

impl VisitorMut for Files<'_> {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        let TableFactor::Table { name, alias, .. } = factor else { return ControlFlow::Continue(()) };
        let [ObjectNamePart::Identifier(name)] = name.0.as_mut_slice() else { return ControlFlow::Continue(()) };
        match self.corpus {
            Some(corpus) if name.quote_style.is_none() && name.value.eq_ignore_ascii_case(CORPUS) => {
                // Its columns are still the corpus' ones, in the query and in the names of the result.
                alias.get_or_insert_with(|| named(name.clone()));
                *name = Ident::with_quote('\'', from_here(corpus));
            }
            _ if name.quote_style.is_some()
                && looks_like_a_file(&name.value)
                && from_here(&name.value) != name.value =>
            {
                alias.get_or_insert_with(|| named(Ident::with_quote('"', name.value.clone())));
                *name = Ident::with_quote('\'', from_here(&name.value));
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// `AS name`.
fn named(name: Ident) -> TableAlias {
    TableAlias { explicit: true, name, columns: vec![], at: None }
}

/// A path from the root, if it is one of this machine and is there.
fn from_here(file: &str) -> String {
    if file.contains("://") || file.starts_with('/') {
        return file.to_string();
    }
    match std::env::current_dir() {
        Ok(folder) => folder.join(file).display().to_string(),
        Err(_) => file.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_as_the_server_finds_them() {
        let named = |sql: &str| {
            let mut statement = statements::parse(sql).unwrap().pop_front().unwrap();
            statements::read_from_corpus(&mut statement, true).unwrap();
            name_files(&mut statement, Some("s3://corpora/*.parquet"));
            statement.to_string()
        };
        let here = std::env::current_dir().unwrap().display().to_string();
        assert_eq!(
            named("SELECT uid WHERE width > 3"),
            "SELECT uid FROM 's3://corpora/*.parquet' AS corpus WHERE width > 3"
        );
        assert_eq!(
            named("SELECT 1 FROM 'a/b.parquet'"),
            format!("SELECT 1 FROM '{here}/a/b.parquet' AS \"a/b.parquet\"")
        );
        assert_eq!(named("SELECT 1 FROM '/a/b.parquet' AS x, t"), "SELECT 1 FROM '/a/b.parquet' AS x, t");
        assert_eq!(named("EXPLAIN SELECT uid"), "EXPLAIN SELECT uid FROM 's3://corpora/*.parquet' AS corpus");
    }
}
