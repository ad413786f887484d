package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"time"
)

// withToken shows an API token with every request.
func (c caller) withToken(token string) caller {
	return c.with("Authorization", "Bearer "+token)
}

// withSession shows a session with every request.
func (c caller) withSession(session string) caller {
	return c.with("Cookie", SessionCookie+"="+session)
}

// WithToken returns a client that shows an API token.
func (c *Client) WithToken(token string) *Client { return &Client{c.caller.withToken(token)} }

// WithSession returns a client that shows a session, as Login returned it.
func (c *Client) WithSession(session string) *Client { return &Client{c.caller.withSession(session)} }

// Identity says which fleet this is; it needs no login, and proves nothing
// beyond what the connection does.
func (c *Client) Identity(ctx context.Context) (identity FleetIdentity, err error) {
	err = c.get(ctx, PathIdentity, nil, &identity)
	return identity, err
}

// Login begins a session. The session is a secret: see WithSession.
func (c *Client) Login(ctx context.Context, name, password string) (who Principal, session string, err error) {
	if err := c.private(); err != nil {
		return Principal{}, "", err
	}
	body, err := json.Marshal(Login{Name: name, Password: password})
	if err != nil {
		return Principal{}, "", err
	}
	request, err := c.request(ctx, http.MethodPost, PathLogin, nil, bytes.NewReader(body))
	if err != nil {
		return Principal{}, "", err
	}
	request.Header.Set("Content-Type", jsonType)
	header, err := c.exchange(request, &who)
	if err != nil {
		return Principal{}, "", err
	}
	for _, cookie := range (&http.Response{Header: header}).Cookies() {
		if cookie.Name == SessionCookie && cookie.Value != "" {
			return who, cookie.Value, nil
		}
	}
	return Principal{}, "", errors.New("login: the answer holds no session")
}

// Logout ends the session that the client shows.
func (c *Client) Logout(ctx context.Context) error {
	return c.postJSON(ctx, PathLogout, struct{}{}, nil)
}

// Me says as whom the client is known.
func (c *Client) Me(ctx context.Context) (who Principal, err error) {
	err = c.get(ctx, PathMe, nil, &who)
	return who, err
}

// APITokens lists the API tokens: all of them to an admin, his own to anybody.
func (c *Client) APITokens(ctx context.Context) (list APITokenList, err error) {
	err = c.get(ctx, PathAPITokens, nil, &list)
	return list, err
}

// CreateAPIToken makes one. A reader makes tokens of scope read, by a session.
func (c *Client) CreateAPIToken(ctx context.Context, r APITokenRequest) (created APITokenCreated, err error) {
	err = c.postJSON(ctx, PathAPITokens, r, &created)
	return created, err
}

// RevokeAPIToken ends one: an admin any, everybody his own.
func (c *Client) RevokeAPIToken(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodDelete, PathAPITokens+"/"+url.PathEscape(id), nil, nil)
}

// Users lists the users.
func (c *Client) Users(ctx context.Context) (list UserList, err error) {
	err = c.get(ctx, PathUsers, nil, &list)
	return list, err
}

// CreateUser makes a user (an *Error with Status 409 when there is one of that
// name), or, without a password, gives one that is there another scope.
func (c *Client) CreateUser(ctx context.Context, r UserRequest) (user UserRow, err error) {
	if err := c.private(); err != nil {
		return UserRow{}, err
	}
	err = c.postJSON(ctx, PathUsers, r, &user)
	return user, err
}

// RemoveUser removes one, with his sessions and tokens.
func (c *Client) RemoveUser(ctx context.Context, name string) error {
	return c.call(ctx, http.MethodDelete, PathUsers+"/"+url.PathEscape(name), nil, nil)
}

// SetPassword gives a user another password, and ends his sessions.
func (c *Client) SetPassword(ctx context.Context, name, password string) error {
	if err := c.private(); err != nil {
		return err
	}
	return c.postJSON(ctx, PathUsers+"/"+url.PathEscape(name)+"/password", PasswordRequest{Password: password}, nil)
}

// WebAudit reads collectord's audit log, as AdminClient.Audit does
// coordinatord's.
func (c *Client) WebAudit(ctx context.Context, since time.Time, limit int) (log AuditLog, err error) {
	err = c.get(ctx, PathWebAudit, auditQuery(since, limit), &log)
	return log, err
}
