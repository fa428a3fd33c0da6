use testkit::house::House;

/// AS-001, AS-075, AS-076, AS-077, AS-078.
#[tokio::test]
async fn a_person_signs_in_consents_and_calls_a_tool() {
    let house = House::new().await.unwrap();
    let client = house.client().await.unwrap();
    let tokens = client.obtain_tokens(&mut house.browser(), "alice", &house.resource("notes")).await.unwrap();
    let token = tokens["access_token"].as_str().unwrap();
    let answer = house.echo("notes", token).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.text().contains("hello"), "{}", answer.text());
    house.remember_secret(token);
    house.remember_secret(tokens["refresh_token"].as_str().unwrap());
    house.close().await.unwrap();
}
