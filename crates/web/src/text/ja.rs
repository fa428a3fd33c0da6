//! Japanese.

use std::time::Duration;

use super::{Text, TroubleText, Troubles};

pub(super) static TEXT: Text = Text {
    skip: "本文へ移動",
    reference: "参照番号 {reference}",

    wants_to_use: "「{client}」が {server} の利用を求めています",
    nameless_wants_to_use: "名前のないアプリケーションが {server} の利用を求めています",
    at_address: "接続先 {address}",
    unverified_name: "この名前は確認されていません。「{name}」という名前は誰でも名乗れます。",
    unverified_nameless: "このアプリケーションは名前を示しておらず、身元を保証する者もいません。",
    vouched_by_operator: "このサービスの管理者が設定したアプリケーションです。",
    vouched_by_host: "公開元のホストは確認済みです。「{name}」という名前は公開元が自ら付けたものです。",
    nameless_vouched_by_host: "公開元のホストは確認済みです。アプリケーションの名前は示されていません。",
    published_at: "{host} が公開しています",
    any_program_here: "このコンピューター上のどのプログラムでも、このアプリケーションを装うことができます。ご自身で今起動した場合にだけ続けてください。",
    any_application_here: "この端末のどのアプリケーションでも、このようなリンクを受け取ることができます。ご自身で今始めた場合にだけ続けてください。",
    in_letters: "本来の文字での表記：{letters}",
    on_this_computer: "このコンピューター（{host}）で動作しています",
    at_a_host: "{host} にあります",
    behind_a_scheme: "{scheme} で始まるリンクを開きます",

    login_title: "サインイン",
    login_lead: "まずサインインしてください。何を許可するかは、その後で決められます。",
    login_address: "職場のメールアドレス",
    login_next: "次へ",
    login_continue: "{provider} で続ける",
    login_not_admitted: "{account} としてサインインしていますが、このアカウントではこの MCP サーバーを利用できません。別のアカウントでサインインするか、このサイトの管理者にお問い合わせください。",
    login_not_you: "心当たりがない場合は、このページを閉じてください。まだ何も許可されていません。",

    approval_title: "このアプリケーションには管理者の承認が必要です",
    approval_lead: "{account} としてサインインしています。まだ何も許可されていません。",
    approval_how: "どのアプリケーションを何のために使いたいかをこのサイトの管理者に伝え、次の行を渡してください。",
    approval_wait: "この手続きは {wait} のあいだ保持されます。承認されたら、このブラウザーでもう一度お試しください。それ以降は、アプリケーションから接続し直してください。",
    approval_again: "もう一度試す",

    development_title: "開発用サインイン",
    development_lead: "このサインインではパスワードを求めません。このコンピューターで試すためのものです。",
    development_field: "サインインする人",
    development_submit: "サインイン",

    on_a_device: "{address} から要求したデバイスで動作しています",
    device_title: "デバイスを接続する",
    device_lead: "ブラウザーを持たないデバイスやプログラムがコードを表示しています。利用を許可するには、そのコードをここに入力してください。",
    device_field: "コード",
    device_compare: "すでに入力されている場合でも、デバイスに表示されているコードと一文字ずつ見比べてください。",
    device_beware: "デバイスが手元にあり、たった今ご自身で始めた場合にだけ続けてください。リンクやコードが誰かから送られてきた場合は、このページを閉じてください。続けると、あなたのアクセス権がその相手に渡ります。",
    device_submit: "コードが一致しているので続ける",
    device_allowed: "デバイスを接続しました",
    device_allowed_now: "デバイスに戻ってください。このページは閉じて構いません。",
    device_denied: "デバイスは接続されませんでした",
    device_denied_now: "何も許可されていません。このページは閉じて構いません。",

    connect_title: "{server} で使うアカウントを接続する",
    connect_lead: "現在 {account} としてサインインしています。これから {host} に移動します。ご自身のアカウントでサインインし、アクセスを許可してください。以後、お使いのアプリケーションはそのアカウントとして {server} を利用します。他の人が使うことはありません。",
    connect_scopes: "移動先で求める権限",
    connect_no_scopes: "{host} が既定で与える権限",
    connect_beware: "ご自身がこのサーバーを使う場合にだけ続けてください。移動先のアカウントがご自身のものでない場合は、移動先で取り消してください。",
    connect_submit: "{host} に進む",
    connections_title: "接続済みのアカウント",
    connections_lead: "お使いのアプリケーションは、これらのアカウントを使って MCP サーバーを利用します。",
    connections_none: "接続されているアカウントはありません。",
    connections_done: "アカウントを接続しました。アプリケーションに戻ってもう一度お試しください。",
    connection_allowed: "許可されている権限",
    connection_missing: "許可されていない権限",
    connection_account: "接続先のアカウント",
    connection_made: "接続日時",
    connection_rotated: "自動更新（最終）",
    connection_expires: "有効期限",
    connection_lasts: "接続を解除するまで",
    connection_dead: "接続先で受け付けられなくなりました。",
    connection_again: "もう一度接続する",
    connection_end: "接続を解除する",

    emergency_title: "緊急用コードでサインイン",
    emergency_lead: "緊急用コードは、このサイトの管理者が一人の利用者のために数分間だけ発行します。使用は記録され、確認されます。",
    emergency_field: "緊急用コード",

    consent_title: "アクセスの許可",
    consent_somebody_else: "別の方ですか？",
    consent_able_to: "許可する操作",
    consent_further: "ほかの MCP サーバーもまとめて許可する",
    consent_further_lead: "選択した MCP サーバーは、同じアプリケーションが数分以内に求めた場合、それぞれ一度だけ、確認のページなしで許可されます。",
    consent_further_all: "以下のすべて",
    consent_return: "許可した後の戻り先",
    consent_how_long: "有効期間",
    consent_lifetime: "最長 {total}。{idle} 利用がなければ終了します。",
    consent_life: "期間を短くする",
    consent_life_longest: "短くしない（上記のとおり）",
    consent_cancel: "キャンセル",
    consent_allow: "許可する",
    scope_read: "内容の閲覧と検索",
    scope_write: "作成と変更",
    duration,

    trouble_act_first: "{host} に戻る",
    troubles: TROUBLES,

    index_title: "MCP サーバー",
    index_lead: "MCP サーバーのアドレスをクライアントに貼り付けてください。サインインのため、このサイトがブラウザーで一度だけ開きます。",
    index_empty: "MCP サーバーはまだありません。管理者が設定ファイルの [[mcp_server]] に追加します。",
    index_by_command: "コマンドまたはファイルで設定する",
    index_connections: "接続済みのアカウント",
    index_how: "接続の手順",
    index_steps: [
        "クライアントで、リモート MCP サーバー（トランスポートは Streamable HTTP）を追加します。",
        "アドレスを貼り付けます。ほかの欄は空のままで構いません。",
        "ブラウザーが開きます。利用を求めているアプリケーションを確認してサインインし、許可する操作を選びます。",
    ],
};

fn duration(duration: Duration) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    let seconds = duration.as_secs();
    match seconds {
        DAY.. => format!("{} 日間", seconds / DAY),
        HOUR.. => format!("{} 時間", seconds / HOUR),
        _ => format!("{} 分間", seconds.div_ceil(MINUTE)),
    }
}

const TROUBLES: Troubles = Troubles {
    already_decided: TroubleText {
        happened: "すでに回答済みです",
        means: "このページには、このブラウザーで以前に回答がありました。その回答が有効です。",
        now: "アプリケーションに戻ってください。接続されていない場合は、アプリケーションからもう一度接続してください。",
    },
    client_blocked: TroubleText {
        happened: "このアプリケーションは接続できません",
        means: "このサイトの管理者が利用を停止しています。何も許可されていません。",
        now: "必要な場合は、このサイトの管理者にお問い合わせください。",
    },
    client_document: TroubleText {
        happened: "アプリケーションの説明情報を利用できませんでした",
        means: "この情報はアプリケーションの公開元で公開されています。取得できなかったか、内容に不備があります。何も許可されていません。",
        now: "しばらくしてからもう一度お試しください。解決しない場合は、アプリケーションの提供元にお知らせください。",
    },
    client_host_refused: TroubleText {
        happened: "この公開元のアプリケーションは受け付けていません",
        means: "このアプリケーションを公開しているホストは、このサイトの管理者によって登録されていません。何も許可されていません。",
        now: "必要な場合は、このサイトの管理者にお問い合わせください。",
    },
    client_mistake: TroubleText {
        happened: "アプリケーションが実現できない要求をしました",
        means: "何も許可されていません。アプリケーションに戻ると、要求のどこに問題があったかが伝わります。",
        now: "リンク先に心当たりがある場合にだけ戻ってください。",
    },
    client_outside: TroubleText {
        happened: "このアプリケーションでは、この MCP サーバーを利用できません",
        means: "読み取った内容が組織の外に保存されるアプリケーションです。このサイトの管理者は、この MCP サーバーをそのようなアプリケーションに公開していません。何も許可されていません。",
        now: "お使いのコンピューター上で動くアプリケーションを使うか、このサイトの管理者にお問い合わせください。",
    },
    client_unknown: TroubleText {
        happened: "登録されていないアプリケーションです",
        means: "かなり前に接続されたか、同じアドレスの別のサイトに接続されていた可能性があります。何も許可されていません。",
        now: "アプリケーションでこの接続を削除し、もう一度追加してください。新しく登録されます。",
    },
    connect_other_person: TroubleText {
        happened: "このリンクは別の人のものです",
        means: "サインインしている人とは別の人のために作られたリンクです。何も接続されていません。",
        now: "誰かから送られてきたリンクは使わないでください。ご自身のアカウントを接続するには、ご自身のアプリケーションから始めてください。",
    },
    connect_over: TroubleText {
        happened: "この接続は完了できません",
        means: "時間がかかりすぎたか、すでに完了しています。今回は何も接続されていません。",
        now: "このブラウザーで、アプリケーションから始め直してください。",
    },
    connect_away: TroubleText {
        happened: "接続先が応答しません",
        means: "何も接続されていません。",
        now: "しばらく待ってから、アプリケーションから始め直してください。",
    },
    connect_other_browser: TroubleText {
        happened: "この接続は別のブラウザーのものです",
        means: "始めたブラウザーで、始めた本人が完了する必要があります。何も接続されていません。",
        now: "誰かにここへ案内された場合は、このページを閉じてください。そうでなければ、アプリケーションから始め直し、開いたブラウザーで完了してください。",
    },
    connect_provider: TroubleText {
        happened: "アカウントを接続できませんでした",
        means: "接続先が許可しなかったか、正しく応答しませんでした。何も接続されていません。",
        now: "もう一度お試しください。繰り返す場合は、下の参照番号をこのサイトの管理者にお知らせください。",
    },
    emergency_code_unknown: TroubleText {
        happened: "この緊急用コードは使えません",
        means: "すでに使われたか、期限が切れたか、入力に誤りがある可能性があります。サインインしておらず、何も許可されていません。",
        now: "前のページに戻ってコードを確認するか、このサイトの管理者に新しいコードを依頼してください。",
    },
    expired: TroubleText {
        happened: "サインインの有効期限が切れました",
        means: "サインインの手続きは数分間だけ保持されます。何も許可されていません。",
        now: "アプリケーションからもう一度接続してください。",
    },
    form_foreign: TroubleText {
        happened: "このサインインのページから送られたものではありません",
        means: "あなたのために作られたページからの送信ではなかったため、受け付けませんでした。何も許可されていません。",
        now: "アプリケーションからもう一度接続してください。",
    },
    house: TroubleText {
        happened: "サイトに不具合が発生しました",
        means: "あなたの操作が原因ではありません。何も許可されていません。",
        now: "参照番号を添えて、このサイトの管理者にお知らせください。",
    },
    house_away: TroubleText {
        happened: "現在このサイトは応答できません",
        means: "あなたの操作が原因ではありません。何も許可されていません。",
        now: "しばらく待ってから、もう一度お試しください。",
    },
    house_busy: TroubleText {
        happened: "開始されたサインインが多すぎます",
        means: "完了していないサインインは数分間保持されます。現在、新しく受け付ける余裕がありません。",
        now: "数分待ってから、アプリケーションからもう一度接続してください。",
    },
    method_unknown: TroubleText {
        happened: "このページはその方法では利用できません",
        means: "何も変更されていません。",
        now: "前のページに戻るか、アプリケーションからもう一度接続してください。",
    },
    not_admitted: TroubleText {
        happened: "この MCP サーバーを利用する権限がありません",
        means: "サインインは済んでいますが、この MCP サーバーはほかの方だけに公開されています。",
        now: "利用が必要な場合は、このサイトの管理者に依頼してください。",
    },
    mcp_address: TroubleText {
        happened: "アプリケーション用のアドレスです",
        means: "これは MCP サーバーのアドレスです。ブラウザーでは利用できません。",
        now: "アプリケーションの MCP サーバーのアドレス欄に貼り付けてください。サインインが必要なときは、アプリケーションがブラウザーでこのサイトを開きます。",
    },
    not_signed_in: TroubleText {
        happened: "サインインしていません",
        means: "接続済みのアカウントを表示するページですが、このブラウザーでは誰もサインインしていません。",
        now: "アプリケーションから接続してサインインした後、同じブラウザーでこのページをもう一度開いてください。",
    },
    not_found: TroubleText {
        happened: "ページが見つかりません",
        means: "アドレスの入力または貼り付けに誤りがある可能性があります。",
        now: "アドレスを確認してください。MCP サーバーのアドレスは /mcp で終わり、ブラウザーではなくアプリケーションから開きます。",
    },
    nothing_ticked: TroubleText {
        happened: "何も選択されていません",
        means: "アプリケーションを許可しましたが、許可する操作が一つも選ばれていません。",
        now: "前のページに戻って許可する操作を選ぶか、キャンセルしてください。",
    },
    other_browser: TroubleText {
        happened: "別のブラウザーで始められたサインインです",
        means: "サインインは、始めたブラウザーで完了する必要があります。何も許可されていません。",
        now: "アプリケーションからもう一度接続し、開いたブラウザーで完了してください。ほかの人から送られたリンクの場合は、このページを閉じてください。",
    },
    person_disabled: TroubleText {
        happened: "あなたのアクセスは停止されています",
        means: "利用者として登録されていますが、サインインは認められていません。",
        now: "このサイトの管理者にお問い合わせください。",
    },
    provider_away: TroubleText {
        happened: "サインインサービスが応答しません",
        means: "サインインは完了しておらず、何も許可されていません。",
        now: "しばらく待ってから、アプリケーションからもう一度接続してください。",
    },
    provider_declined: TroubleText {
        happened: "サインインは完了しませんでした",
        means: "サインインしておらず、何も許可されていません。",
        now: "もう一度試すには、アプリケーションから接続し直してください。",
    },
    provider_not_allowed: TroubleText {
        happened: "このアカウントでは利用できません",
        means: "サインインサービスには登録されていますが、このサイトの利用を認められたアカウントではありません。",
        now: "接続し直して業務用のアカウントを選ぶか、このサイトの管理者にお問い合わせください。",
    },
    provider_unknown: TroubleText {
        happened: "このアドレスのサインイン先がありません",
        means: "どこにも問い合わせておらず、何も許可されていません。",
        now: "前のページに戻り、@ より後ろを確かめてください。正しい場合は、このサービスの管理者に連絡してください。",
    },
    provider_untrusted: TroubleText {
        happened: "サインインサービスの応答を信頼できません",
        means: "サインインは完了しておらず、何も許可されていません。",
        now: "アプリケーションからもう一度接続してください。繰り返し起きる場合は、このサイトの管理者にお知らせください。",
    },
    redirect_unknown: TroubleText {
        happened: "アプリケーションが登録していない戻り先です",
        means: "このリンクでは、アプリケーションが登録していないアドレスでサインインが終わるところでした。何も許可されていません。",
        now: "このリンクは使わないでください。アプリケーションから接続し、繰り返し起きる場合は、このサイトの管理者にお知らせください。",
    },
    request_broken: TroubleText {
        happened: "アプリケーションの要求を読み取れません",
        means: "必要な項目がないか、重複しています。何も許可されていません。",
        now: "アプリケーションからもう一度接続してください。繰り返し起きる場合は、アプリケーションの提供元にお知らせください。",
    },
    server_gone: TroubleText {
        happened: "この MCP サーバーはなくなりました",
        means: "このサイトの管理者が削除したか、名前を変更しました。",
        now: "アプリケーションから削除するか、新しいアドレスを確認してください。",
    },
    stale_page: TroubleText {
        happened: "ページの内容が変わりました",
        means: "ページを開いている間に、アプリケーションまたは MCP サーバーの情報が変わったため、回答を受け付けませんでした。",
        now: "前のページに戻って再読み込みし、内容をもう一度確認してください。",
    },
    too_large: TroubleText {
        happened: "要求が大きすぎます",
        means: "送られた内容が、このサイトで受け付けられる長さを超えています。何も変更されていません。",
        now: "アプリケーションからもう一度接続してください。繰り返し起きる場合は、このサイトの管理者にお知らせください。",
    },
    too_many: TroubleText {
        happened: "要求の回数が多すぎます",
        means: "すべての方が利用できるように、一つのネットワークからの回数を制限しています。",
        now: "しばらく待ってから、もう一度お試しください。",
    },
    too_many_waiting: TroubleText {
        happened: "承認待ちのアプリケーションが多すぎます",
        means: "以前に依頼したアプリケーションについて、管理者がまだ判断していません。何も許可されていません。",
        now: "このサイトの管理者に判断を依頼してから、アプリケーションから接続し直してください。",
    },
    unknown: TroubleText {
        happened: "このサインインは見つかりません",
        means: "すでに終了したか、アドレスが途中で切れている可能性があります。",
        now: "アプリケーションからもう一度接続してください。",
    },
    unknown_person: TroubleText {
        happened: "その名前の人は登録されていません",
        means: "開発用にサインインできる人は、設定ファイルに記載されています。",
        now: "前のページに戻り、候補に表示される名前から選んでください。",
    },
    user_code_unknown: TroubleText {
        happened: "このコードは見つかりません",
        means: "入力に誤りがあるか、数分間の有効期限が切れた可能性があります。何も許可されていません。",
        now: "デバイスの表示と見比べてもう一度入力するか、デバイスで最初からやり直してください。",
    },
    user_code_used: TroubleText {
        happened: "このコードはすでに使われています",
        means: "別のブラウザーで手続きが始まっているか、すでに回答されています。これ以上は何も許可されていません。",
        now: "デバイスで最初からやり直してください。ご自身で使った覚えがない場合は、このサイトの管理者にお知らせください。",
    },
    wrong_host: TroubleText {
        happened: "このサイトのアドレスではありません",
        means: "このサイトは、管理者が設定した一つのアドレスでだけ応答します。",
        now: "案内されたアドレスを使ってください。",
    },
};
