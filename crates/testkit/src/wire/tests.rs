use super::*;

/// A service that sends back what it gets.
async fn echo() -> (JoinSet<()>, Target) {
    let (listener, port) = listen().await.unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut socket, _)) = listener.accept().await {
            connections.spawn(async move {
                let (mut reader, mut writer) = socket.split();
                drop(tokio::io::copy(&mut reader, &mut writer).await);
            });
        }
    });
    (tasks, Target::Tcp(format!("127.0.0.1:{port}")))
}

async fn said(socket: &mut TcpStream, text: &str) -> std::io::Result<String> {
    socket.write_all(text.as_bytes()).await?;
    let mut heard = vec![0; text.len()];
    socket.read_exact(&mut heard).await?;
    Ok(String::from_utf8(heard).unwrap())
}

#[tokio::test]
async fn a_cable_that_is_whole_carries() {
    let (_service, target) = echo().await;
    let wire = Wire::to(target).await.unwrap();
    let mut socket = TcpStream::connect(("127.0.0.1", wire.port)).await.unwrap();
    assert_eq!(said(&mut socket, "hello").await.unwrap(), "hello");
    assert_eq!(wire.accepted(), 1);
}

#[tokio::test]
async fn a_cut_is_felt_at_once_and_by_everybody() {
    let (_service, target) = echo().await;
    let wire = Wire::to(target).await.unwrap();
    let mut socket = TcpStream::connect(("127.0.0.1", wire.port)).await.unwrap();
    said(&mut socket, "hello").await.unwrap();
    wire.set(Fault::Cut);
    assert!(socket.read(&mut [0; 1]).await.is_err(), "a reset");
    // The reset may come before the connection is even known to be made.
    let later = TcpStream::connect(("127.0.0.1", wire.port)).await;
    assert!(later.is_err() || said(&mut later.unwrap(), "hello").await.is_err());
    wire.set(Fault::None);
    let mut again = TcpStream::connect(("127.0.0.1", wire.port)).await.unwrap();
    assert_eq!(said(&mut again, "hello").await.unwrap(), "hello");
}

#[tokio::test]
async fn what_is_stalled_comes_when_it_is_mended_and_a_reset_comes_after_so_many_bytes() {
    let (_service, target) = echo().await;
    let wire = Wire::to(target).await.unwrap();
    wire.set(Fault::Stall);
    let mut socket = TcpStream::connect(("127.0.0.1", wire.port)).await.unwrap();
    socket.write_all(b"hello").await.unwrap();
    let mut heard = [0; 5];
    assert!(tokio::time::timeout(Duration::from_millis(50), socket.read_exact(&mut heard)).await.is_err());
    wire.set(Fault::None);
    socket.read_exact(&mut heard).await.unwrap();
    wire.set(Fault::ResetAfter(7));
    assert!(said(&mut socket, "goodbye").await.is_err());
}

#[tokio::test]
async fn connections_are_dealt_out_in_turn_and_past_who_is_gone() {
    let (first, second) = (listen().await.unwrap(), listen().await.unwrap());
    let balancer = Balancer::start().await.unwrap();
    let gone = listen().await.unwrap().1;
    balancer.set(vec![first.1, second.1]);
    let _one = TcpStream::connect(("127.0.0.1", balancer.port)).await.unwrap();
    first.0.accept().await.unwrap();
    let _two = TcpStream::connect(("127.0.0.1", balancer.port)).await.unwrap();
    second.0.accept().await.unwrap();
    balancer.set(vec![gone, second.1]);
    for _ in 0..2 {
        let _more = TcpStream::connect(("127.0.0.1", balancer.port)).await.unwrap();
        second.0.accept().await.unwrap();
    }
}
