//! A real nginx: an origin to pull from, or a load balancer. Installed by `scripts/setup test`.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use super::wait_until;

/// What operators are given to balance with.
const BALANCER: &str = include_str!("../../../../../deploy/nginx/headwater.conf");

/// An nginx of the test's own, on loopback. Dropping it kills it.
pub(crate) struct Nginx {
    dir: TempDir,
    child: Child,
    port: u16,
}

impl Nginx {
    /// Serves its directory; `more` goes into the `server` block.
    pub(crate) fn start(more: &str) -> Self {
        Self::start_with(|port, at| {
            format!(
                "types {{ video/mp4 mp4; }} default_type application/octet-stream;\n\
                 server {{ listen 127.0.0.1:{port}; root {at}/root; {more} }}\n"
            )
        })
    }

    /// Balances over nodes, as the configuration in `deploy` has it.
    pub(crate) fn balancing(nodes: &[SocketAddr]) -> Self {
        Self::start_with(|port, _| {
            let mut left = nodes.iter();
            let lines = BALANCER.lines().map(|line| match line.trim_start() {
                "listen 80;" => format!("listen 127.0.0.1:{port};"),
                server if server.starts_with("server node") => {
                    let (_, how) = server.split_once(":8080").unwrap();
                    left.next().map_or(String::new(), |node| format!("server {node}{how}"))
                }
                line => line.to_owned(),
            });
            let config = lines.collect::<Vec<_>>().join("\n");
            assert!(
                left.next().is_none(),
                "the configuration has fewer nodes than {}",
                nodes.len()
            );
            config
        })
    }

    /// With what `http` returns, told the port and the directory, in the `http` block.
    fn start_with(http: impl FnOnce(u16, &str) -> String) -> Self {
        let dir = tempfile::Builder::new().prefix("nginx-").tempdir().unwrap();
        fs::create_dir(dir.path().join("root")).unwrap();
        // Nobody else is given the port in the moment in between, unless by a rare accident.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let at = dir.path().display().to_string();
        let http = http(port, &at);
        let config = format!(
            "daemon off; master_process off; pid {at}/pid; error_log {at}/error.log; worker_rlimit_nofile 2048;\n\
             events {{ worker_connections 1024; }}\n\
             http {{ access_log {at}/access.log;\n\
             client_body_temp_path {at}/t1; proxy_temp_path {at}/t2; fastcgi_temp_path {at}/t3;\n\
             uwsgi_temp_path {at}/t4; scgi_temp_path {at}/t5;\n\
             {http} }}\n"
        );
        fs::write(dir.path().join("nginx.conf"), config).unwrap();
        let child = Command::new("/usr/sbin/nginx")
            .arg("-e")
            .arg(dir.path().join("error.log"))
            .arg("-c")
            .arg(dir.path().join("nginx.conf"))
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let nginx = Self { dir, child, port };
        wait_until("nginx", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        nginx
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The directory it serves.
    pub(crate) fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    /// The requests it answered, as its access log has them.
    pub(crate) fn requests(&self) -> Vec<String> {
        let log = fs::read_to_string(self.dir.path().join("access.log")).unwrap_or_default();
        log.lines().filter_map(|line| line.split('"').nth(1)).map(str::to_owned).collect()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}
