//! Active alerts, and the history of notifications.

use serde::{Deserialize, Serialize};
use tidegate::{ActiveAlert, AlertRecord, Delivery, Host};
use tidegate_core::clock::millis;
use tidegate_core::store::RoutedNotification;
use tidegate_core::{Notification, Severity, Transition};
use utoipa::{IntoParams, ToSchema};

use super::ApiError;
use super::metrics::CallStats;
use super::schemas::{AlertStateName, SeverityName, TransitionName};

/// The notifications that the history contains.
#[derive(Debug, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AlertsRequest {
    /// The platform. If absent, all platforms.
    #[param(example = "taobao", nullable = false)]
    pub platform: Option<String>,
    /// The maximum number of notifications in the history.
    #[serde(default = "default_limit")]
    #[param(example = 20, default = 100)]
    pub limit: usize,
}

fn default_limit() -> usize {
    100
}

/// The active alerts, and the history of notifications.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Alerts, examples(json!({ "active": [], "history": [] })))]
pub struct AlertsResponse {
    /// The rules whose condition holds now.
    pub active: Vec<AlertInfo>,
    /// The notifications, newest first.
    pub history: Vec<NotificationInfo>,
}

/// A rule whose condition holds now, for one platform or endpoint.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = ActiveAlert)]
pub struct AlertInfo {
    /// The name of the rule.
    pub rule: String,
    /// The severity of the rule.
    #[schema(value_type = SeverityName)]
    pub severity: Severity,
    /// The platform.
    pub platform: String,
    /// The endpoint, if the rule evaluates each endpoint.
    #[schema(required)]
    pub endpoint: Option<String>,
    /// Whether the alert is pending or firing.
    #[schema(value_type = AlertStateName)]
    pub state: String,
    /// How long the condition has held, in milliseconds.
    pub active_for_ms: u64,
}

impl From<ActiveAlert> for AlertInfo {
    fn from(alert: ActiveAlert) -> Self {
        let ActiveAlert { rule, severity, platform, endpoint, state, active_for, .. } = alert;
        Self { rule, severity, platform, endpoint, state: state.as_str().to_owned(), active_for_ms: millis(active_for) }
    }
}

/// A notification, with the results of its deliveries.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Notification)]
pub struct NotificationInfo {
    /// The unique id of the notification.
    pub id: u64,
    /// The name of the rule.
    pub rule: String,
    /// The severity of the rule.
    #[schema(value_type = SeverityName)]
    pub severity: Severity,
    /// The platform.
    pub platform: String,
    /// The endpoint, if the rule evaluates each endpoint.
    #[schema(required)]
    pub endpoint: Option<String>,
    /// The change of the alert.
    #[schema(value_type = TransitionName)]
    pub transition: Transition,
    /// The text of the rule's condition.
    pub condition: String,
    /// The detail that the policy returned.
    #[schema(required)]
    pub detail: Option<String>,
    /// The statistics that the rule evaluated. Those of a built-in alert are empty: `to_ms` is 0.
    pub stats: CallStats,
    /// The time of the evaluation, in milliseconds since 1970.
    pub at_ms: u64,
    /// The channels of the rule.
    pub channels: Vec<String>,
    /// The result for each channel whose delivery has ended.
    pub deliveries: Vec<DeliveryInfo>,
}

impl From<AlertRecord> for NotificationInfo {
    fn from(record: AlertRecord) -> Self {
        let AlertRecord { routed: RoutedNotification { notification, channels, .. }, deliveries, id, .. } = record;
        let Notification { rule, severity, platform, endpoint, transition, condition, detail, stats, at_ms, .. } =
            notification;
        let deliveries = deliveries.into_iter().map(DeliveryInfo::from).collect();
        let stats = stats.into();
        Self {
            id,
            rule,
            severity,
            platform,
            endpoint,
            transition,
            condition,
            detail,
            stats,
            at_ms,
            channels,
            deliveries,
        }
    }
}

/// The result of sending a notification to one channel.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Delivery)]
pub struct DeliveryInfo {
    /// The name of the channel.
    pub channel: String,
    /// Whether the channel accepted the notification.
    pub delivered: bool,
    /// The number of attempts.
    pub attempts: u32,
    /// The last error, if the notification was not delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub error: Option<String>,
}

impl From<Delivery> for DeliveryInfo {
    fn from(delivery: Delivery) -> Self {
        let Delivery { channel, delivered, attempts, error, .. } = delivery;
        Self { channel, delivered, attempts, error }
    }
}

/// Returns the active alerts, and the latest notifications.
///
/// # Errors
/// Returns an error if the platform is unknown or Redis is unavailable.
pub async fn list(host: &Host, request: AlertsRequest) -> Result<AlertsResponse, ApiError> {
    let platform = request.platform.as_deref();
    platform.map(|name| host.limiter(name)).transpose()?;
    let history = host.alerts().history(platform, request.limit).await?;
    let active = host.alerts().active().await?;
    Ok(AlertsResponse {
        active: active.into_iter().map(AlertInfo::from).collect(),
        history: history.into_iter().map(NotificationInfo::from).collect(),
    })
}
